"""The log in batches: one batch per poll of the sample topics, committed as far as its windows are published."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition

from services.features.partition_task import PartitionTask
from services.features.processor import Processor
from services.features.settings import FeaturesSettings
from shared.contracts import topics
from shared.contracts.errors import LostOwnership, Stop
from shared.kafka.admin import open_admin
from shared.kafka.consumer import create_group_consumer, poll
from shared.kafka.errors import as_retry, is_refusal
from shared.kafka.health import ConsumerHealth
from shared.kafka.producer import CLOSE_S, finish_within
from shared.runtime.logging import ThrottledLogger
from shared.runtime.retry import retry_until_available
from shared.runtime.service import run_together
from shared.windows.retention import Position

log = logging.getLogger("gaitway.features")

STOP_S = 3.0
ROUND_S = 5.0
"""Interval of the work over all users: gauges, and removal of idle users."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The records of one poll, and the generation of the assignment."""

    generation: int
    records: Mapping[TopicPartition, Sequence[Any]]
    processed: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Done when the next batch may be polled; its exception ends the consumer."""


class BatchConsumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """Consumer of the three sample topics that passes batches on and commits for the processor."""

    def __init__(
        self, settings: FeaturesSettings, processor: Processor, health: ConsumerHealth, topic_names: Sequence[str]
    ) -> None:
        self._settings = settings
        self._processor = processor
        self._health = health
        self._topic_names = list(topic_names)
        self._group = f"{settings.topic_prefix}features"
        self._generation = 0
        self._busy = asyncio.Lock()
        self._last_commit_s = self._last_round_s = time.monotonic()
        self._paused: set[TopicPartition] = set()
        self._consumer: Any = None
        self._failure: Exception | None = None
        self._reset_needed = False
        self._throttled = ThrottledLogger(log)

    def reset(self, recreated: frozenset[str]) -> None:
        """Note that topics were recreated: their offsets have changed, so no state fits them."""
        watched = {spec.name for spec in topics.SAMPLE_TOPICS.values()}
        self._reset_needed = self._reset_needed or not recreated.isdisjoint(watched)

    async def run(self, send: Callable[[Batch], Awaitable[Any]]) -> None:
        """Join the group and pass each batch to ``send``, whose receiver calls `process`.

        Raises:
            Stop: the records cannot be read, or too many were rejected.
        """
        self._consumer = create_group_consumer(self._settings, self._group)
        self._consumer.subscribe(self._topic_names, listener=self)
        await self._consumer.start()
        await run_together(self._poll(send), self._health.partitions.watch(self._consumer))

    async def _poll(self, send: Callable[[Batch], Awaitable[Any]]) -> None:
        while True:
            # A rebalance waits for the lock, so that no poll spans one.
            async with self._busy:
                if self._failure is not None:
                    raise self._failure
                records = await poll(self._consumer, self._settings.max_poll_records, self._processor.partitions)
                batch = Batch(self._generation, records)
            await send(batch)
            await asyncio.shield(batch.processed)

    async def process(self, batch: Batch) -> None:
        """Process one batch; drop it if its assignment is over, because the new one started at the commits."""
        try:
            async with self._busy:
                if batch.generation == self._generation:
                    await self._process(batch)
        except Exception as error:
            batch.processed.set_exception(error)
        else:
            batch.processed.set_result(None)

    async def _process(self, batch: Batch) -> None:
        if self._reset_needed:
            self._reset_needed = False
            await self._reset_partitions(self._consumer.assignment())
            return
        try:
            await self._processor.process(batch.records, self._checkpoint)
            self._health.partitions.handled(batch.records)
        except LostOwnership as error:
            self._throttled.log("lost", logging.WARNING, "%s: restarting from the last commit", error)
            await self._reset_partitions(self._consumer.assignment())
            return
        except Stop:
            # The next worker should not process these records again: see DeadLetterLimit.
            await self._commit()
            raise
        self._apply_backpressure()
        await self._commit_if_due()
        if time.monotonic() - self._last_round_s >= ROUND_S:
            self._last_round_s = time.monotonic()
            self._processor.forget_idle(int(self._settings.idle_after_s * 1000))
            self._processor.report()

    async def _checkpoint(self) -> None:
        """Note progress and commit inside a long batch, because the next poll comes late."""
        self._health.partitions.note_work()
        await self._commit_if_due()

    async def _commit_if_due(self) -> None:
        if (time.monotonic() - self._last_commit_s) * 1000 >= self._settings.commit_interval_ms:
            await self._commit()

    def _apply_backpressure(self) -> None:
        """Pause topics that are ahead of the others, so that memory stays limited until the others catch up."""
        settings = self._settings
        for number, partition in self._processor.partitions.items():
            for topic, name in enumerate(self._topic_names):
                tp = TopicPartition(name, number)
                # Both records and bytes are limited, because a sender chooses both.
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
            # The group has a new assignment; the new owner starts at the last commit.
            self._throttled.log("commit", logging.WARNING, "commit refused: %s", error)
        except KafkaError as error:
            self._health.set_unready("commits", repr(error), refused=is_refusal(error))
            self._throttled.log("commit", logging.WARNING, "commit failed, the next one covers it: %r", error)
        else:
            self._health.set_ready("commits")

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Finish the current batch, commit it and drop all partitions."""
        async with self._busy:
            if revoked:
                await self._processor.save_all()
                await self._commit()
            self._generation += 1
            self._processor.assign({})

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Start each partition at its committed offset."""
        async with self._busy:
            try:
                await self._reset_partitions(set(assigned))
            except Exception as error:
                # aiokafka would log it and continue without any partition: alive, but idle.
                self._failure = error

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
                    save_after_ms=round(settings.save_after_s * 1000),
                    phase_per_user=settings.phase_per_user,
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
        async def attempt() -> dict[TopicPartition, Position]:
            try:
                return await self._committed(assigned)
            except (KafkaError, TimeoutError) as error:
                raise as_retry(error) from error

        return await retry_until_available(attempt, self._health, "kafka", log)

    async def _committed(self, assigned: set[TopicPartition]) -> dict[TopicPartition, Position]:
        """Return committed offsets and log times; aiokafka's consumer does not return their metadata."""
        if not assigned:
            return {}
        async with open_admin(self._settings.kafka) as admin:
            offsets = await admin.list_consumer_group_offsets(self._group, partitions=list(assigned))
        return {tp: (o.offset, _log_ms(o.metadata)) for tp, o in offsets.items() if o.offset >= 0}

    async def stop(self) -> None:
        """Commit and disconnect; a static member keeps its partitions until the session times out.

        An unavailable broker or Redis, or a batch that waits for one, must not block the exit: the batch is
        redelivered.
        """
        if self._consumer is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S), self._busy:
                # Once before, in case Redis takes too long.
                await self._commit()
                await self._processor.save_all()
                await self._commit()
                self._generation += 1
        await finish_within(self._consumer.stop(), CLOSE_S)


def _log_ms(metadata: str | None) -> int:
    """Return the log time in a commit's metadata, or 0, older than any record, if another tool set the offset."""
    return int(metadata) if metadata and metadata.isdecimal() else 0
