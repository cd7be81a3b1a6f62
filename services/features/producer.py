"""Kafka output of features: windows, gaps, rejected records; only acknowledged records count."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka.errors import KafkaError

from services.features.partition_task import Rejected, WindowToPublish
from shared.contracts import topics
from shared.contracts.dead_letter import rejection_headers
from shared.contracts.decoding import traceparent_of
from shared.contracts.gap import Gap
from shared.contracts.trace_context import TRACEPARENT
from shared.kafka.admin import message_limits
from shared.kafka.aiokafka_patches import record_bytes
from shared.kafka.batches import Message, send_messages
from shared.kafka.errors import TOO_LARGE, as_retry
from shared.kafka.producer import abort_producer, close_producer, create_producer
from shared.runtime import metrics
from shared.runtime.logging import RateLimitedLogger, trace_extra

log = logging.getLogger("gaitway.features")

_WRITES = (topics.WINDOWS, topics.GAPS, topics.REJECTED)
BATCH_BYTES = 512 * 1024
_REJECTED = metrics.rejected_by("features")


class KafkaWindowProducer:
    """An idempotent producer with acks=all."""

    def __init__(self, bootstrap_servers: str, prefix: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._prefix = prefix
        self._producer: Any = None
        self._limits: dict[str, int] = {}
        self._rate_limited = RateLimitedLogger(log, lines_per_s=2)

    async def start(self) -> None:
        """Connect; raises RetryLater."""
        try:
            self._limits = await message_limits(self._bootstrap_servers, self._prefix, _WRITES)
        except (KafkaError, TimeoutError) as error:
            raise as_retry(error) from error
        producer = create_producer(
            self._bootstrap_servers,
            max_batch_size=min(BATCH_BYTES, *self._limits.values()),
            max_request_size=topics.MAX_REJECTED_BYTES,
            request_timeout_ms=20_000,
        )
        try:
            await producer.start()
        except KafkaError as error:
            await abort_producer(producer)
            raise as_retry(error) from error
        self._producer = producer

    async def publish(
        self, windows: Iterable[WindowToPublish], gaps: Iterable[tuple[int, Gap]], rejected: Iterable[Rejected]
    ) -> None:
        """Publish and wait for all acknowledgements; raises RetryLater.

        A record too large for its topic goes to watch.rejected, without its value if it is too large for that too.
        """
        if self._producer is None:
            await self.start()
        messages = [self._window_message(ready) for ready in windows]
        messages += [self._message(topics.GAPS, partition, gap.user.encode(), gap.encode()) for partition, gap in gaps]
        messages += [self._rejected_message(item) for item in rejected]
        sent: list[Any] = []
        try:
            await send_messages(self._producer, messages, sent)
            outcomes = await asyncio.gather(*sent, return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
        except KafkaError as error:
            for future in sent:
                future.cancel()
            # A refused batch leaves a gap in the sequence numbers, so the broker would refuse all later ones. If a
            # record was too large, the limits have changed and must be read again.
            if not error.retriable or isinstance(error, TOO_LARGE):
                await self._drop()
            raise as_retry(error) from error

    async def _drop(self) -> None:
        producer, self._producer = self._producer, None
        await abort_producer(producer)

    def _window_message(self, ready: WindowToPublish) -> Message:
        trace = ready.raw.traceparent
        headers = [(TRACEPARENT, trace.encode())] if trace else []
        return self._message(topics.WINDOWS, ready.partition, ready.raw.user.encode(), ready.record.encode(), headers)

    def _rejected_message(self, item: Rejected) -> Message:
        record = item.record
        headers = rejection_headers("features", item.reason, record.topic, record.partition, record.offset)
        trace = trace_extra(traceparent_of(record.headers))
        log.warning("rejected %s %d@%d: %s", record.topic, record.partition, record.offset, item.reason, extra=trace)
        _REJECTED[item.fault].inc()
        return self._message(topics.REJECTED, record.partition, record.key, record.value, headers)

    def _message(
        self,
        topic: topics.TopicSpec,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Message:
        size, limit = record_bytes(key, value, headers), self._limits[topic.name]
        if size > limit:
            topic, value, headers = self._too_large(topic, partition, key, value, headers, size)
        return Message(self._prefix + topic.name, partition, key, value, list(headers))

    def _too_large(
        self,
        topic: topics.TopicSpec,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        size: int,
    ) -> tuple[topics.TopicSpec, bytes | None, Sequence[tuple[str, bytes]]]:
        """Return the dead letter of a record too large for its topic; it has no offset yet, hence -1."""
        reason = f"{size} bytes are more than {self._prefix}{topic.name} allows ({self._limits[topic.name]})"
        if topic is not topics.REJECTED:
            _REJECTED["too_large"].inc()
            headers = [*headers, *rejection_headers("features", reason, self._prefix + topic.name, partition, -1)]
        if record_bytes(key, value, headers) > self._limits[topics.REJECTED.name]:
            value, reason = b"", f"{reason}; only its key and headers are kept"
        self._rate_limited.log(logging.ERROR, "rejected: %s", reason)
        return topics.REJECTED, value, headers

    async def stop(self) -> None:
        """Flush and close within seconds."""
        if self._producer is not None:
            await close_producer(self._producer)
