"""Producer of activity.events.shadow, apart from every transaction: what fails here fails alone."""

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from services.inference.settings import InferenceSettings
from shared.contracts import topics
from shared.kafka.admin import ensure_topics
from shared.kafka.batches import Headers
from shared.kafka.producer import abort_producer, close_producer, create_producer
from shared.runtime.logging import ThrottledLogger

log = logging.getLogger("gaitway.inference")

WRITE_S = 10.0
"""Time limit of one write, with the opening of the producer."""
MAX_BATCH_BYTES = 256 * 1024


class ShadowMessage(NamedTuple):
    """One record."""

    partition: int
    key: bytes
    headers: Headers
    value: bytes


class ShadowProducer:
    """Idempotent producer, opened with the first write and again after a failure.

    A record is handed to Kafka once: it is there once or, after a failure, possibly not.
    """

    def __init__(self, settings: InferenceSettings) -> None:
        self._settings = settings
        self._topic = settings.topic_prefix + topics.SHADOW_EVENTS.name
        self._producer: AIOKafkaProducer | None = None
        self._throttled = ThrottledLogger(log)

    async def write(self, messages: Sequence[ShadowMessage]) -> list[bool]:
        """Return for each record whether Kafka has acknowledged it within ``WRITE_S``."""
        sent: list[asyncio.Future[object]] = []
        try:
            async with asyncio.timeout(WRITE_S):
                producer = await self._open()
                for partition, key, headers, value in messages:
                    sent.append(await producer.send(self._topic, value, key=key, partition=partition, headers=headers))
                await asyncio.wait(sent)
            if failures := [future for future in sent if not _is_acknowledged(future)]:
                failures[0].result()
        except (Exception, asyncio.CancelledError) as error:
            # aiokafka lets cancellations of its own tasks out while the broker is away.
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
                raise
            text = "the shadow's events cannot be written to %s: %r"
            self._throttled.log("write", logging.WARNING, text, self._topic, error)
            await self._abort()
        return [_is_acknowledged(future) for future in sent] + [False] * (len(messages) - len(sent))

    async def _open(self) -> AIOKafkaProducer:
        if self._producer is None:
            settings = self._settings
            # Whoever deleted the topic gets it back with the contract's settings.
            await ensure_topics(
                settings.kafka,
                settings.topic_prefix,
                settings.partitions,
                settings.replication_factor,
                (topics.SHADOW_EVENTS,),
            )
            producer = create_producer(settings.kafka, linger_ms=0, max_batch_size=MAX_BATCH_BYTES)
            try:
                await producer.start()
            except BaseException:
                await abort_producer(producer)
                raise
            self._producer = producer
        return self._producer

    async def _abort(self) -> None:
        # A producer with a batch that failed would send the later ones with a gap in their sequence numbers.
        producer, self._producer = self._producer, None
        if producer is not None:
            await abort_producer(producer)

    async def close(self) -> None:
        """Flush and disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer)


def _is_acknowledged(future: "asyncio.Future[object]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
