"""The log as batches: one batch per poll of the sample topics, committed as far as its windows are published."""

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
"""Between two rounds over all users: gauges, and who has been silent for long."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one poll brought, and under which assignment of partitions."""

    generation: int
    records: Mapping[TopicPartition, Sequence[Any]]
    processed: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Done once the next batch may be polled; its exception ends the consumer."""


class BatchConsumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """Polls the three sample topics, has each batch processed, commits for the processor."""

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
        """These topics were deleted and are there again: their offsets are others, and no state fits them."""
        watched = {spec.name for spec in topics.SAMPLE_TOPICS.values()}
        self._reset_needed = self._reset_needed or not recreated.isdisjoint(watched)

    async def run(self, send: Callable[[Batch], Awaitable[Any]]) -> None:
        """Join the group and hand one batch after the other to ``send``, whose receiver calls `process`.

        Raises:
            Stop: the records cannot be read, or too many were rejected.
        """
        self._consumer = create_group_consumer(self._settings, self._group)
        self._consumer.subscribe(self._topic_names, listener=self)
        await self._consumer.start()
        await run_together(self._poll(send), self._health.partitions.watch(self._consumer))

    async def _poll(self, send: Callable[[Batch], Awaitable[Any]]) -> None:
        while True:
            # A rebalance waits for the poll, so that no poll spans one.
            async with self._busy:
                if self._failure is not None:
                    raise self._failure
                records = await poll(self._consumer, self._settings.max_poll_records, self._processor.partitions)
                batch = Batch(self._generation, records)
            await send(batch)
            await asyncio.shield(batch.processed)

    async def process(self, batch: Batch) -> None:
        """Process one batch; one of an assignment that is gone is dropped: the new one began at its commits."""
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
        """Committed offsets with the log time in their metadata, which aiokafka's consumer does not give out."""
        if not assigned:
            return {}
        async with open_admin(self._settings.kafka) as admin:
            offsets = await admin.list_consumer_group_offsets(self._group, partitions=list(assigned))
        return {tp: (o.offset, _log_ms(o.metadata)) for tp, o in offsets.items() if o.offset >= 0}

    async def stop(self) -> None:
        """Commit what is done and leave; a static member keeps its partitions for the session's length.

        Neither a batch that waits for a broker or a Redis that is away nor the broker itself may hold up the exit: the
        batch comes again.
        """
        if self._consumer is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S), self._busy:
                await self._commit()
                self._generation += 1
        await finish_within(self._consumer.stop(), CLOSE_S)


def _log_ms(metadata: str | None) -> int:
    """The log time that a commit carries; 0, which any record is past, where the offset was set by other means."""
    return int(metadata) if metadata and metadata.isdecimal() else 0
