"""What features writes to the bus: windows, gaps, rejected records; nothing is done until the broker has it."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.features.partition import Ready, Rejected
from shared import metrics, topics
from shared.errors import RetryLater
from shared.farewell import stop_producer
from shared.log import traced
from shared.records.decoding import traceparent_of
from shared.records.gap import Gap
from shared.records.rejected import rejection_headers

log = logging.getLogger("gaitway.features")

_REJECTED = metrics.rejected_by("features")


class Publisher:
    """An idempotent producer with acks=all."""

    def __init__(self, bootstrap_servers: str, prefix: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._prefix = prefix
        self._producer: Any = None

    async def start(self) -> None:
        """Connect; raises RetryLater."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_batch_size=256 * 1024,
            max_request_size=topics.MAX_REJECTED_BYTES,
            request_timeout_ms=20_000,
        )
        try:
            await producer.start()
        except KafkaError as error:
            await producer.stop()
            raise RetryLater(f"Kafka: {error}") from error
        self._producer = producer

    async def publish(
        self, windows: Iterable[Ready], gaps: Iterable[tuple[int, Gap]], rejected: Iterable[Rejected]
    ) -> None:
        """Returns once the broker has acknowledged everything; raises RetryLater when it has not."""
        try:
            sent = [await self._send_window(ready) for ready in windows]
            sent += [
                await self._send(topics.GAPS, partition, gap.user.encode(), gap.encode()) for partition, gap in gaps
            ]
            sent += [await self._send_rejected(item) for item in rejected]
            await asyncio.gather(*sent)
        except KafkaError as error:
            raise RetryLater(f"Kafka: {error}") from error

    async def _send_window(self, ready: Ready) -> Any:
        trace = ready.raw.traceparent
        headers = [("traceparent", trace.encode())] if trace else []
        return await self._send(
            topics.WINDOWS, ready.partition, ready.raw.user.encode(), ready.record.encode(), headers
        )

    async def _send_rejected(self, item: Rejected) -> Any:
        record = item.record
        headers = rejection_headers("features", item.reason, record.topic, record.partition, record.offset)
        trace = traced(traceparent_of(record.headers))
        log.warning("rejected %s %d@%d: %s", record.topic, record.partition, record.offset, item.reason, extra=trace)
        _REJECTED[item.fault].inc()
        return await self._send(topics.REJECTED, record.partition, record.key, record.value, headers)

    async def _send(
        self,
        topic: topics.TopicSpec,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> Any:
        return await self._producer.send(
            self._prefix + topic.name, value, key=key, partition=partition, headers=headers or []
        )

    async def stop(self) -> None:
        """Flush and close, within seconds."""
        if self._producer is not None:
            await stop_producer(self._producer)
