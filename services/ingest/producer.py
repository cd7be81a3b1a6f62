"""Producer of accepted samples: one Kafka record per modality, acknowledged by all in-sync replicas."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from aiokafka.errors import KafkaError

from services.ingest.batching import BATCH_BYTES, MAX_PENDING_BYTES, Batcher, Message
from services.ingest.settings import IngestSettings
from shared.contracts.errors import InvalidUpload, Refused, RetryLater
from shared.contracts.samples import TICK, SampleRecord
from shared.contracts.topics import SAMPLE_TOPICS
from shared.contracts.trace_context import HEADER
from shared.contracts.users import partition_of
from shared.kafka.admin import message_limits
from shared.kafka.aiokafka_patches import record_bytes
from shared.kafka.errors import is_refusal
from shared.kafka.producer import abort_producer, create_producer
from shared.runtime import fault_injection

logger = logging.getLogger("gaitway.ingest.publisher")

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_MS = 5_000


class SampleProducer(Protocol):
    """Interface of the producer for the HTTP application."""

    async def publish(self, user: str, records: Sequence[SampleRecord], traceparent: bytes) -> None:
        """Publish and wait for all acknowledgements; raises RetryLater without them."""


class KafkaSampleProducer:
    """An idempotent producer. An upload may arrive in Kafka after RetryLater; repeats are harmless."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._topics = {name: settings.topic_prefix + spec.name for name, spec in SAMPLE_TOPICS.items()}
        self._batcher: Batcher | None = None
        self._limits: dict[str, int] = {}

    async def start(self) -> None:
        """Connect.

        Raises:
            RetryLater: Kafka does not answer.
        """
        producer = create_producer(
            self._settings.kafka,
            client_id=f"gaitway-ingest-{self._settings.instance}",
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                limits = await message_limits(
                    self._settings.kafka, self._settings.topic_prefix, tuple(SAMPLE_TOPICS.values())
                )
                await producer.start()
                # Fetched now, not within the time limit of the first upload.
                for topic in self._topics.values():
                    await producer.partitions_for(topic)
        except BaseException as error:
            await abort_producer(producer)
            if isinstance(error, KafkaError | TimeoutError):
                kind = Refused if is_refusal(error) else RetryLater
                raise kind(f"Kafka at {self._settings.kafka} does not answer: {error!r}") from error
            raise
        self._limits = {self._settings.topic_prefix + name: size for name, size in limits.items()}
        max_pending_bytes = min(MAX_PENDING_BYTES, *self._limits.values())
        self._batcher = Batcher(
            producer, self._settings.linger_ms / 1000, self._settings.publish_timeout_ms / 1000, max_pending_bytes
        )

    async def publish(self, user: str, records: Sequence[SampleRecord], traceparent: bytes) -> None:
        """Publish one record per modality, key = user, and wait until all replicas have them.

        Raises:
            RetryLater: no acknowledgement within the time limit, no connection, or too much is already waiting.
            InvalidUpload: a record is larger than its topic allows.
        """
        batcher = self._connected()
        if batcher.waiting_bytes >= self._settings.buffer_bytes:
            raise RetryLater(f"{batcher.waiting_bytes} bytes already wait for Kafka")
        key, headers = user.encode(), [(HEADER, traceparent)]
        messages = [Message(self._topics[record.modality.name], key, record.encode(), headers) for record in records]
        for message in messages:
            limit = self._limits[message.topic]
            if message.size > limit and record_bytes(key, message.value, headers) > limit:
                raise InvalidUpload("", f"{message.topic} takes {limit} bytes of a modality at once", status=413)
        sending = batcher.send(partition_of(user, self._settings.partitions), messages)
        if fault_injection.is_injected("ack-early"):
            fault_injection.run_detached(sending)
            return
        await sending

    async def tick(self) -> int:
        """Send a tick to every partition of the watch topics; returns their number. Raises RetryLater like publish.

        The limit of waiting bytes does not apply: ticks are few and show whether the producer works.
        """
        batcher, partitions = self._connected(), self._settings.partitions
        ticks = [Message(topic, None, TICK, []) for topic in self._topics.values()]
        await asyncio.gather(*(batcher.send(partition, ticks) for partition in range(partitions)))
        return partitions * len(ticks)

    async def spent(self) -> None:
        """Wait until this producer can send no more and must be replaced."""
        await self._connected().spent.wait()

    def _connected(self) -> Batcher:
        if self._batcher is None:
            raise RetryLater("Kafka is not connected")
        return self._batcher

    async def stop(self) -> None:
        """Flush within a time limit and disconnect."""
        if self._batcher is not None:
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._batcher.flush()
            except TimeoutError:
                logger.warning("%d bytes could not be delivered to Kafka", self._batcher.waiting_bytes)
        await self.drop()

    async def drop(self) -> None:
        """Disconnect without a flush; unacknowledged uploads were not answered as accepted."""
        batcher, self._batcher = self._batcher, None
        if batcher is not None:
            await abort_producer(batcher.producer)
