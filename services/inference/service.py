"""The inference worker: consume windows, classify, publish; open each partition anew whenever anything is in doubt."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from services.inference.classifier import Classifier
from services.inference.ledger import Ledger
from services.inference.processor import Processor
from services.inference.producer import MAX_BATCH_BYTES, TransactionalProducer, close_all, open_producer
from services.inference.readback import read_ledgers
from services.inference.settings import InferenceSettings
from shared.contracts import topics
from shared.contracts.errors import LostOwnership, Refused, RetryLater
from shared.kafka.aiokafka_patches import tolerate_invalid_header_names
from shared.kafka.consumer import METADATA_MAX_AGE_MS, poll_twice
from shared.kafka.dead_letters import DeadLetterLimit
from shared.kafka.errors import is_refusal
from shared.kafka.producer import CLOSE_S, close_producer, finish_within
from shared.kafka.topic_monitor import TopicMonitor
from shared.runtime import garbage
from shared.runtime.clock import Clock, system_clock
from shared.runtime.event_loop import watch_event_loop
from shared.runtime.health import Health, health_app
from shared.runtime.http_server import bind, server
from shared.runtime.logging import ThrottledLogger, configure_logging

log = logging.getLogger("gaitway.inference")

RETRY_S = 0.5
STOP_S = 3.0


class Worker(ConsumerRebalanceListener):  # type: ignore[misc]
    """Owns partitions of activity.windows while it runs."""

    def __init__(self, settings: InferenceSettings, classifier: Classifier, health: Health, clock: Clock) -> None:
        self._settings = settings
        self._classifier = classifier
        self._health = health
        share = DeadLetterLimit(settings.dlq_max_ratio, settings.dlq_min_records)
        self._processor = Processor(classifier, clock, share)
        self._group = f"{settings.topic_prefix}inference"
        self._topic = settings.topic_prefix + topics.WINDOWS.name
        self._busy = asyncio.Lock()
        self._consumer: Any = None
        self._failure: Exception | None = None
        self._throttled = ThrottledLogger(log)
        used = (topics.WINDOWS, topics.EVENTS, topics.LEDGER, topics.REJECTED)
        self._topics = TopicMonitor(settings, used, health, gone=self._keep_ledgers, back=self._restore_ledgers)
        # Of a ledger whose topic was deleted, by partition; what they hold is still true.
        self._kept: dict[int, Ledger] = {}
        self._restoring = False
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until ``stopping`` is set; raises Stop when too much is rejected."""
        settings = self._settings
        tolerate_invalid_header_names()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka,
            group_id=self._group,
            group_instance_id=f"{self._group}-{settings.instance}",
            partition_assignment_strategy=(RangePartitionAssignor,),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=max(300, settings.session_timeout_ms // 5),
            max_partition_fetch_bytes=4 * 1024 * 1024,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )
        self._consumer.subscribe([self._topic], listener=self)
        await self._consumer.start()
        self._health.set_ready("kafka")
        watching = asyncio.create_task(self._health.partitions.watch(self._consumer))
        cycles = asyncio.create_task(self._cycles())
        looking = asyncio.create_task(self._topics.run())
        stopping = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({cycles, looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for failed in (cycles, looking):
                if failed.done():
                    failed.result()
            # A transaction that waits for a broker that is away must not hold up the exit: its windows come again.
            await finish_within(cycles, STOP_S)
        finally:
            stopping.cancel()
            watching.cancel()
            looking.cancel()
            cycles.cancel()
            await self._close_producers()
            await finish_within(self._consumer.stop(), CLOSE_S)

    async def _cycles(self) -> None:
        while not self.stopping.is_set():
            await self._run_once()

    async def _run_once(self) -> None:
        """One poll, at most one transaction per partition, then the rest of the interval."""
        if self._failure is not None:
            raise self._failure
        pause = asyncio.create_task(asyncio.sleep(self._settings.transaction_interval_ms / 1000))
        # A rebalance waits for the cycle, so that no poll spans one.
        async with self._busy:
            if self._restoring:
                await self._claim_partitions(self._consumer.assignment(), seek=True)
            records = await poll_twice(self._consumer, self._settings.max_poll_records, self._processor.producers)
            if records:
                try:
                    await self._processor.process({tp.partition: batch for tp, batch in records.items()})
                    self._health.partitions.handled(records)
                    self._health.set_ready("transactions")
                except LostOwnership as error:
                    if error.__cause__ is not None and is_refusal(error.__cause__):
                        self._health.set_unready("transactions", str(error), refused=True)
                    self._throttled.log("lost", logging.WARNING, "%s: opening the partitions anew", error)
                    await self._claim_partitions(self._consumer.assignment(), seek=True)
        self._health.heartbeat()
        await pause

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:  # noqa: ARG002
        """Finish the transaction in hand, let go."""
        async with self._busy:
            await self._close_producers()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Fence the predecessors, then read what they have published."""
        async with self._busy:
            try:
                await self._claim_partitions(set(assigned), seek=False)
            except Exception as error:
                # aiokafka would log it and go on, with no partition open: alive, and doing nothing.
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
        while assigned and not self.stopping.is_set():
            if self._topics.missing:
                # Neither fence nor ledger can be had without them.
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
                self._throttled.log("open", logging.WARNING, "cannot open the partitions: %r; trying again", error)
                await self._close_producers()
                await asyncio.sleep(RETRY_S)
            else:
                self._kept, self._restoring = {}, False
                break
        self._health.set_ready("kafka")
        log.info("partitions %s", ",".join(str(tp.partition) for tp in sorted(assigned)) or "none")

    async def _open_producers(self, partitions: list[int]) -> dict[int, TransactionalProducer]:
        settings = self._settings
        prefix, model = settings.topic_prefix, self._classifier.name.name_version
        limits = await topics.message_limits(settings.kafka, prefix, (topics.EVENTS, topics.LEDGER, topics.REJECTED))
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
            # After the fence: nothing can be added to these ledgers but by us.
            ledgers = await read_ledgers(settings.kafka, prefix, partitions, model)
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


async def serve(settings: InferenceSettings) -> None:
    """Run the service until SIGTERM or SIGINT.

    Raises:
        Stop: the bundle does not fit, a topic does not match, the health port is taken, or too much is rejected.
    """
    configure_logging("inference", settings.log_level, settings.log_format)
    settings.log(log)
    health = Health(settings.stalled_after_s, service="inference", topic_prefix=settings.topic_prefix)
    health.set_unready("kafka", "not connected yet")
    classifier = Classifier(settings.model, settings.torch_threads)
    log.info("model %s: %s", classifier.name.name_version, ", ".join(classifier.classes))
    worker = Worker(settings, classifier, health, system_clock)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, worker.stopping.set)
    http = server(health_app(health))
    garbage.settle()
    watching = asyncio.create_task(watch_event_loop())
    page = asyncio.create_task(http.serve(sockets=[bind(settings.health_host, settings.health_port)]))
    try:
        if await _topics_exist(settings, health, worker.stopping):
            await worker.run()
    finally:
        watching.cancel()
        classifier.close()
        http.should_exit = True
        await page


async def _topics_exist(settings: InferenceSettings, health: Health, stopping: asyncio.Event) -> bool:
    """Wait for the broker; False when the service is told to stop before it answers."""
    throttled = ThrottledLogger(log)
    while not stopping.is_set():
        try:
            await topics.ensure_topics(
                settings.kafka, settings.topic_prefix, settings.partitions, settings.replication_factor
            )
        except RetryLater as error:
            health.set_unready("kafka", str(error), refused=isinstance(error, Refused))
            throttled.log("start", logging.WARNING, "%s; trying again", error)
            await asyncio.sleep(RETRY_S)
        else:
            return True
    return False
