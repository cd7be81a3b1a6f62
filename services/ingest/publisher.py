"""Where accepted samples go: one Kafka record per modality, acknowledged by all in-sync replicas."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from services.ingest.settings import IngestSettings
from services.ingest.trace import HEADER
from shared import plant
from shared.errors import RetryLater
from shared.records.samples import TICK, SampleRecord
from shared.topics import WATCH

logger = logging.getLogger("gaitway.ingest.publisher")

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_MS = 5_000
RECORD_OVERHEAD_BYTES = 256
"""What a waiting record costs beside its value: key, header, futures."""


_Message = tuple[str, int, bytes | None, bytes, list[tuple[str, bytes]]]
"""Topic, partition, key, value, headers."""


class Publisher(Protocol):
    """What the HTTP side needs of the bus."""

    async def publish(self, user: str, records: Sequence[SampleRecord], traceparent: bytes) -> None:
        """Returns once all records are acknowledged; raises RetryLater when that is not known to have happened."""


@dataclass
class MemoryPublisher:
    """Keeps what it is given; ``error`` is raised instead while it is set."""

    published: list[tuple[str, SampleRecord, bytes]] = field(default_factory=list)
    error: RetryLater | None = None

    async def publish(self, user: str, records: Sequence[SampleRecord], traceparent: bytes) -> None:
        """Append (user, record, traceparent) per record."""
        if self.error is not None:
            raise self.error
        self.published += [(user, record, traceparent) for record in records]


@dataclass
class _Connection:
    producer: AIOKafkaProducer
    waiting_bytes: int = 0

    def release_with(self, future: "asyncio.Future[Any]", size: int) -> None:
        """Take ``size`` off what is waiting once ``future`` is settled."""

        def settled(done: "asyncio.Future[Any]") -> None:
            self.waiting_bytes -= size
            # Fetched so that asyncio does not report an error that nobody waits for any more.
            if not done.cancelled():
                done.exception()

        future.add_done_callback(settled)


@lru_cache(maxsize=65_536)
def partition_of(user: str, partitions: int) -> int:
    """The partition of a user's records in every topic: that of Kafka's default partitioner (murmur2 of the key)."""
    return int((murmur2(user.encode()) & 0x7FFF_FFFF) % partitions)


class KafkaPublisher:
    """An idempotent producer. An upload that was refused with RetryLater may still arrive: repeats are harmless."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._timeout_s = settings.publish_timeout_ms / 1000
        self._topics = {name: settings.topic_prefix + spec.name for name, spec in WATCH.items()}
        self._connection: _Connection | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            RetryLater: Kafka does not answer.
        """
        producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            client_id=f"gaitway-ingest-{self._settings.instance}",
            acks="all",
            enable_idempotence=True,
            linger_ms=self._settings.linger_ms,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await producer.start()
                # Now, not within the bounded time of the first upload.
                for topic in self._topics.values():
                    await producer.partitions_for(topic)
        except BaseException as error:
            await _drop(producer)
            if isinstance(error, KafkaError | TimeoutError):
                raise RetryLater(f"Kafka at {self._settings.kafka} does not answer: {error!r}") from error
            raise
        self._connection = _Connection(producer)

    async def publish(self, user: str, records: Sequence[SampleRecord], traceparent: bytes) -> None:
        """One record per modality, key = user; returns once all replicas have them.

        Raises:
            RetryLater: no acknowledgement within the bound, no connection, or too much is waiting already.
        """
        partition = partition_of(user, self._settings.partitions)
        headers = [(HEADER, traceparent)]
        sending = self._send(
            [
                (self._topics[record.modality.name], partition, user.encode(), record.encode(), headers)
                for record in records
            ],
            limit_bytes=self._settings.buffer_bytes,
        )
        if plant.is_planted("ack-early"):
            plant.forget(sending)
            return
        await sending

    async def tick(self) -> int:
        """A tick into every partition of the watch topics; returns how many. Raises RetryLater like publish."""
        partitions = range(self._settings.partitions)
        ticks: list[_Message] = [
            (topic, partition, None, TICK, []) for topic in self._topics.values() for partition in partitions
        ]
        await self._send(ticks)
        return len(ticks)

    async def stop(self) -> None:
        """Let what is waiting go out, for a bounded time, and disconnect."""
        if self._connection is not None:
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._connection.producer.flush()
            except TimeoutError:
                logger.warning("%d bytes could not be delivered", self._connection.waiting_bytes)
        await self.drop()

    async def drop(self) -> None:
        """Disconnect without waiting for what Kafka has not acknowledged: nobody was told that it was."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await _drop(connection.producer)

    async def _send(self, messages: list[_Message], *, limit_bytes: int | None = None) -> None:
        """``limit_bytes``: refuse when so much is waiting. Ticks are few, and show whether the producer is alive."""
        connection = self._connection
        if connection is None:
            raise RetryLater("Kafka is not connected")
        if limit_bytes is not None and connection.waiting_bytes >= limit_bytes:
            raise RetryLater(f"{connection.waiting_bytes} bytes already wait for Kafka")
        # Counted before send(): the producer takes one batch per partition, everything else waits inside send().
        sizes = [len(value) + RECORD_OVERHEAD_BYTES for _, _, _, value, _ in messages]
        connection.waiting_bytes += sum(sizes)
        futures: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(self._timeout_s):
                for topic, partition, key, value, headers in messages:
                    future = await connection.producer.send(topic, value, key, partition, headers=headers)
                    connection.release_with(future, sizes[len(futures)])
                    futures.append(future)
                # Not gather: running out of time must not cancel the futures, they tell how much is waiting.
                await asyncio.wait(futures)
        except TimeoutError:
            raise RetryLater(f"Kafka has not acknowledged within {self._timeout_s:g} s") from None
        except KafkaError as error:
            raise RetryLater(f"Kafka: {error!r}") from error
        finally:
            connection.waiting_bytes -= sum(sizes[len(futures) :])
        for future in futures:
            refusal = future.exception()
            if refusal is not None:
                raise RetryLater(f"Kafka: {refusal!r}") from refusal


async def _drop(producer: AIOKafkaProducer) -> None:
    """What AIOKafkaProducer.stop() does, without its flush.

    aiokafka 0.14 retries the batches of an idempotent producer for ever, and stop() waits for them.
    """
    try:
        await producer._sender.close()
    except KafkaError as error:
        logger.warning("the producer's sender ended with %r", error)
    await producer.client.close()
    producer._closed = True
