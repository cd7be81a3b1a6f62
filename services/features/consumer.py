"""The log as batches: aiokafka's getmany inside the Faust worker, one batch per poll, own commits.

Faust's own consumer delivers record by record at 80 to 115 us each; this costs 3 (docs/decisions).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition
from mode import Service

from services.features.partition_task import PartitionTask
from services.features.processor import Processor
from services.features.settings import FeaturesSettings
from shared.contracts import topics
from shared.contracts.errors import LostOwnership, Stop
from shared.kafka.aiokafka_patches import tolerate_invalid_header_names
from shared.kafka.consumer import METADATA_MAX_AGE_MS, poll
from shared.kafka.errors import is_refusal
from shared.kafka.producer import CLOSE_S, finish_within
from shared.runtime.health import Health
from shared.runtime.logging import ThrottledLogger
from shared.windows.retention import Position

log = logging.getLogger("gaitway.features")

RETRY_S = 0.5
STOP_S = 3.0
ROUND_S = 5.0
"""Between two rounds over all users: gauges, and who has been silent for long."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one poll brought, and under which assignment of partitions."""

    generation: int
    records: Mapping[TopicPartition, Sequence[Any]]
    handled: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Stop | None = None
    """Why there will be no further batch."""


class BatchConsumer(Service, ConsumerRebalanceListener):  # type: ignore[misc]
    """Polls the three watch topics; hands batches to ``send``; commits for the processor."""

    def __init__(
        self,
        settings: FeaturesSettings,
        processor: Processor,
        health: Health,
        topic_names: Sequence[str],
        send: Callable[[Batch], Awaitable[Any]],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._processor = processor
        self._health = health
        self._topic_names = list(topic_names)
        self._send = send
        self._group = f"{settings.topic_prefix}features"
        self._generation = 0
        self._busy = asyncio.Lock()
        self._last_commit_s = self._last_round_s = time.monotonic()
        self._paused: set[TopicPartition] = set()
        self._consumer: Any = None
        self._anew = False
        self._throttled = ThrottledLogger(log)

    def begin_anew(self, back: frozenset[str]) -> None:
        """These topics were deleted and are there again: their offsets are others, and no state fits them."""
        self._anew = self._anew or not back.isdisjoint(spec.name for spec in topics.SAMPLE_TOPICS.values())

    async def on_start(self) -> None:
        """Join the group; the broker's topics exist by now."""
        tolerate_invalid_header_names()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka,
            group_id=self._group,
            group_instance_id=f"{self._group}-{self._settings.instance}",
            partition_assignment_strategy=(RangePartitionAssignor,),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=self._settings.session_timeout_ms,
            heartbeat_interval_ms=max(300, self._settings.session_timeout_ms // 5),
            max_partition_fetch_bytes=4 * 1024 * 1024,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )
        self._consumer.subscribe(self._topic_names, listener=self)
        await self._consumer.start()

    @Service.task
    async def _poll(self) -> None:
        while not self.should_stop:
            batch = await self._next()
            await self._send(batch)
            await batch.handled.wait()

    @Service.task
    async def _watch_partitions(self) -> None:
        await self._health.partitions.watch(self._consumer)

    async def _next(self) -> Batch:
        # A rebalance waits for the poll, so that no poll spans one.
        async with self._busy:
            try:
                records = await poll(self._consumer, self._settings.max_poll_records, self._processor.partitions)
            except Stop as error:
                return Batch(self._generation, {}, failure=error)
            return Batch(self._generation, records)

    async def handle(self, batch: Batch) -> None:
        """Process one batch; one of an assignment that is gone is dropped: the new one began at its commits."""
        try:
            async with self._busy:
                if batch.generation == self._generation:
                    await self._handle(batch)
        finally:
            batch.handled.set()

    async def _handle(self, batch: Batch) -> None:
        if batch.failure is not None:
            raise batch.failure
        if self._anew:
            self._anew = False
            await self._reset_partitions(self._consumer.assignment())
            return
        try:
            await self._processor.process(batch.records, self._checkpoint)
            self._health.partitions.handled(batch.records)
        except LostOwnership as error:
            self._throttled.log("lost", logging.WARNING, "%s: beginning again from the last commit", error)
            await self._reset_partitions(self._consumer.assignment())
            return
        except Stop:
            # The next worker is not to meet what it need not: see DeadLetterLimit.
            await self._commit()
            raise
        self._apply_backpressure()
        await self._commit_if_due()
        if time.monotonic() - self._last_round_s >= ROUND_S:
            self._last_round_s = time.monotonic()
            self._processor.forget_idle(int(self._settings.idle_after_s * 1000))
            self._processor.report()

    async def _checkpoint(self) -> None:
        """In the middle of a batch that takes long: progress, though the next poll is not near."""
        self._health.partitions.note_work()
        await self._commit_if_due()

    async def _commit_if_due(self) -> None:
        if (time.monotonic() - self._last_commit_s) * 1000 >= self._settings.commit_interval_ms:
            await self._commit()

    def _apply_backpressure(self) -> None:
        """Pause the topics that run ahead of the others, so that memory stays bounded while one catches up."""
        settings = self._settings
        for number, partition in self._processor.partitions.items():
            for topic, name in enumerate(self._topic_names):
                tp = TopicPartition(name, number)
                # Of what is allowed, in records and in bytes: a sender chooses both.
                used = max(
                    partition.waiting(topic) / settings.max_buffered_records,
                    partition.waiting_bytes(topic) / settings.max_buffered_bytes,
                )
                if used > 1 and tp not in self._paused:
                    self._consumer.pause(tp)
                    self._paused.add(tp)
                elif used < 0.5 and tp in self._paused:
                    self._consumer.resume(tp)
                    self._paused.discard(tp)

    async def _commit(self) -> None:
        self._last_commit_s = time.monotonic()
        offsets = self._processor.committable()
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            # The group has moved on; the new owner begins where the last commit stands.
            self._throttled.log("commit", logging.WARNING, "commit refused: %s", error)
        except KafkaError as error:
            self._health.set_unready("commits", repr(error), refused=is_refusal(error))
            self._throttled.log("commit", logging.WARNING, "commit failed, the next one covers it: %r", error)
        else:
            self._health.set_ready("commits")

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Finish the batch in hand, acknowledge it, let go of everything."""
        async with self._busy:
            if revoked:
                await self._commit()
            self._generation += 1
            self._processor.assign({})

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Begin each partition at its commit."""
        async with self._busy:
            try:
                await self._reset_partitions(set(assigned))
            except Exception as error:
                # aiokafka would log it and go on, with no partition set up: alive, and doing nothing.
                await self.crash(error)

    async def _reset_partitions(self, assigned: set[TopicPartition]) -> None:
        committed = await self._fetch_committed(assigned)
        self._generation += 1
        self._paused.clear()
        settings = self._settings
        numbers = sorted({tp.partition for tp in assigned})
        log.info("partitions %s", ",".join(map(str, numbers)) or "none")
        self._processor.assign(
            {
                number: PartitionTask(
                    number,
                    settings.hop_ms,
                    round(settings.grace_s * 1000),
                    [committed.get(TopicPartition(name, number)) for name in self._topic_names],
                )
                for number in numbers
            }
        )
        if assigned:
            self._consumer.resume(*assigned)
        for tp in assigned:
            if tp in committed:
                self._consumer.seek(tp, committed[tp][0])
            else:
                await self._consumer.seek_to_beginning(tp)

    async def _fetch_committed(self, assigned: set[TopicPartition]) -> dict[TopicPartition, Position]:
        while True:
            try:
                return await self._committed(assigned)
            except (KafkaError, TimeoutError) as error:
                if self.should_stop:
                    raise
                self._health.set_unready("kafka", repr(error), refused=is_refusal(error))
                text = "the group's commits cannot be read: %r; trying again"
                self._throttled.log("committed", logging.WARNING, text, error)
                await asyncio.sleep(RETRY_S)

    async def _committed(self, assigned: set[TopicPartition]) -> dict[TopicPartition, Position]:
        """Committed offsets with the log time in their metadata, which aiokafka's consumer does not give out."""
        if not assigned:
            return {}
        admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.kafka)
        try:
            await admin.start()
            offsets = await admin.list_consumer_group_offsets(self._group, partitions=list(assigned))
        finally:
            await admin.close()
        return {tp: (o.offset, _log_ms(o.metadata)) for tp, o in offsets.items() if o.offset >= 0}

    async def on_stop(self) -> None:
        """Acknowledge what is done and leave; a static member keeps its partitions for the session's length."""
        # Neither a batch that waits for a broker or a Redis that is away nor the farewell to that broker may hold up
        # the exit: the batch comes again.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S), self._busy:
                if self._consumer is not None:
                    await self._commit()
                    self._generation += 1
        if self._consumer is not None:
            await finish_within(self._consumer.stop(), CLOSE_S)


def _log_ms(metadata: str | None) -> int:
    """The log time that a commit carries; 0, which any record is past, where the offset was set by other means."""
    return int(metadata) if metadata and metadata.isdecimal() else 0
