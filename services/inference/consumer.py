"""Consumer of windows in cycles of one transaction per partition; it claims the partitions again after a failure."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from services.inference.classifier import Classifier
from services.inference.ledger import Ledger, read_ledgers
from services.inference.processor import Processor
from services.inference.producer import MAX_BATCH_BYTES, TransactionalProducer, close_all, open_producer
from services.inference.rollout import RollOutMonitor
from services.inference.settings import InferenceSettings
from services.inference.shadow import Shadow
from shared.contracts import topics
from shared.contracts.errors import LostOwnership
from shared.kafka.admin import message_limits
from shared.kafka.consumer import create_group_consumer, poll_twice
from shared.kafka.dead_letters import DeadLetterLimit
from shared.kafka.errors import is_refusal
from shared.kafka.health import ConsumerHealth
from shared.kafka.producer import CLOSE_S, close_producer, finish_within
from shared.kafka.topic_monitor import TopicMonitor
from shared.runtime.clock import Clock
from shared.runtime.logging import ThrottledLogger
from shared.runtime.service import run_together

log = logging.getLogger("gaitway.inference")

RETRY_S = 0.5
STOP_S = 3.0


class WindowConsumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """Consumer that owns partitions of activity.windows while it runs."""

    def __init__(
        self,
        settings: InferenceSettings,
        classifier: Classifier,
        health: ConsumerHealth,
        clock: Clock,
        rollout: RollOutMonitor | None = None,
    ) -> None:
        """Connect the parts; ``rollout`` may replace ``classifier`` while the consumer runs."""
        self._settings = settings
        self._rollout = rollout
        self._shadow = Shadow(settings, clock) if rollout is not None else None
        self._health = health
        dead_letter_limit = DeadLetterLimit(settings.dlq_max_ratio, settings.dlq_min_records)
        self._processor = Processor(classifier, clock, dead_letter_limit, self._shadow)
        self._group = f"{settings.topic_prefix}inference"
        self._topic = settings.topic_prefix + topics.WINDOWS.name
        self._busy = asyncio.Lock()
        self._consumer: Any = None
        self._failure: Exception | None = None
        self._throttled = ThrottledLogger(log)
        used = (topics.WINDOWS, topics.EVENTS, topics.LEDGER, topics.REJECTED)
        self._topics = TopicMonitor(settings, used, health, gone=self._keep_ledgers, back=self._restore_ledgers)
        # Ledgers of a deleted topic by partition; their content is still valid.
        self._kept: dict[int, Ledger] = {}
        self._restoring = False
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop``; raises Stop when records cannot be read or too many were rejected."""
        self._stop = stop
        self._consumer = create_group_consumer(self._settings, self._group, isolation_level="read_committed")
        self._consumer.subscribe([self._topic], listener=self)
        await self._consumer.start()
        self._health.set_ready("kafka")
        watching = self._health.partitions.watch(self._consumer)
        try:
            following = [part.run() for part in (self._rollout, self._shadow) if part is not None]
            await run_together(self._cycles(), self._topics.run(), watching, self._wait_for_deadline(), *following)
        finally:
            await self._close_producers()
            await finish_within(self._consumer.stop(), CLOSE_S)

    async def _cycles(self) -> None:
        while not self._stop.is_set():
            await self._run_once()

    async def _wait_for_deadline(self) -> None:
        """Return ``STOP_S`` after ``stop``: a transaction that waits for a broker must not block the exit.

        Its windows are redelivered.
        """
        await self._stop.wait()
        await asyncio.sleep(STOP_S)

    async def _run_once(self) -> None:
        """Poll once, run at most one transaction per partition, then wait for the rest of the interval."""
        if self._failure is not None:
            raise self._failure
        pause = asyncio.create_task(asyncio.sleep(self._settings.transaction_interval_ms / 1000))
        # A rebalance waits for the lock, so that no cycle spans one.
        async with self._busy:
            self._apply_rollout()
            if self._restoring:
                await self._claim_partitions(self._consumer.assignment(), seek=True)
            records = await poll_twice(self._consumer, self._settings.max_poll_records, self._processor.producers)
            if records:
                try:
                    with self._shadow.pause() if self._shadow is not None else contextlib.nullcontext():
                        await self._processor.process({tp.partition: batch for tp, batch in records.items()})
                    self._health.partitions.handled(records)
                    self._health.set_ready("transactions")
                except LostOwnership as error:
                    if error.__cause__ is not None and is_refusal(error.__cause__):
                        self._health.set_unready("transactions", str(error), refused=True)
                    self._throttled.log("lost", logging.WARNING, "%s: claiming the partitions again", error)
                    await self._claim_partitions(self._consumer.assignment(), seek=True)
        self._health.heartbeat()
        await pause

    def _apply_rollout(self) -> None:
        """Switch between two batches, so that each window has exactly one live model."""
        if self._rollout is not None and self._shadow is not None and (models := self._rollout.take()) is not None:
            self._shadow.switch_to(models.shadow)
            self._processor.switch_to(models.live)

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:  # noqa: ARG002
        """Finish the current transaction and close the producers."""
        async with self._busy:
            await self._close_producers()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Fence the previous owners, then read their ledgers."""
        async with self._busy:
            try:
                await self._claim_partitions(set(assigned), seek=False)
            except Exception as error:
                # aiokafka would log it and continue without any partition: alive, but idle.
                self._failure = error

    def _keep_ledgers(self, gone: frozenset[str]) -> None:
        if topics.LEDGER.name in gone:
            self._kept = {number: producer.ledger for number, producer in self._processor.producers.items()}

    def _restore_ledgers(self, back: frozenset[str]) -> None:
        self._restoring = self._restoring or topics.LEDGER.name in back

    async def _close_producers(self) -> None:
        producers, self._processor.producers = list(self._processor.producers.values()), {}
        await close_all(producers)

    async def _claim_partitions(self, assigned: set[TopicPartition], *, seek: bool) -> None:
        await self._close_producers()
        while assigned and not self._stop.is_set():
            if self._topics.missing:
                # Fencing and the ledger need these topics.
                await asyncio.sleep(RETRY_S)
                continue
            try:
                self._processor.producers = await self._open_producers(sorted(tp.partition for tp in assigned))
                for number, ledger in self._kept.items():
                    if number in self._processor.producers:
                        await self._processor.producers[number].restore(ledger)
                if seek:
                    await self._seek(assigned)
            except (KafkaError, TimeoutError) as error:
                self._health.set_unready("kafka", repr(error), refused=is_refusal(error))
                self._throttled.log("open", logging.WARNING, "cannot open the partitions: %r; retrying", error)
                await self._close_producers()
                await asyncio.sleep(RETRY_S)
            else:
                self._kept, self._restoring = {}, False
                break
        self._health.set_ready("kafka")
        log.info("partitions %s", ",".join(str(tp.partition) for tp in sorted(assigned)) or "none")

    async def _open_producers(self, partitions: list[int]) -> dict[int, TransactionalProducer]:
        settings = self._settings
        prefix = settings.topic_prefix
        limits = await message_limits(settings.kafka, prefix, (topics.EVENTS, topics.LEDGER, topics.REJECTED))
        self._processor.limits = limits
        batch_bytes = min(MAX_BATCH_BYTES, *limits.values())
        producers: dict[int, AIOKafkaProducer] = {}
        async with contextlib.AsyncExitStack() as opened:
            for partition in partitions:
                producer = await open_producer(
                    settings.kafka, prefix, partition, settings.transaction_timeout_ms, batch_bytes
                )
                opened.push_async_callback(close_producer, producer)
                producers[partition] = producer
            # After fencing, only this worker can write to these ledgers.
            # With a roll-out file a window that another model has published is not published again.
            any_model = self._rollout is not None
            ledgers = await read_ledgers(settings.kafka, prefix, partitions, self._processor.model, any_model)
            opened.pop_all()
        return {
            partition: TransactionalProducer(producer, prefix, partition, self._group, ledgers[partition])
            for partition, producer in producers.items()
        }

    async def _seek(self, assigned: set[TopicPartition]) -> None:
        for tp in assigned:
            offset = await self._consumer.committed(tp)
            if offset is None:
                await self._consumer.seek_to_beginning(tp)
            else:
                self._consumer.seek(tp, offset)
