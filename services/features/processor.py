"""One batch of the log after the other: merge, fold, features, publish, then fold into Redis, then commit."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import prometheus_client
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from services.features.baseline_cache import BaselineCache
from services.features.partition_task import PartitionTask, Rejected, WindowToPublish
from shared.contracts.errors import Refused, RetryLater
from shared.contracts.gap import Gap
from shared.contracts.modality import MODALITIES, MODALITY_NAMES
from shared.contracts.time_limits import HOUR_MS
from shared.contracts.window import ACCELEROMETER_STATES, HEART_RATE_STATES
from shared.kafka.dead_letters import DeadLetterLimit
from shared.kafka.health import ConsumerHealth
from shared.runtime import metrics
from shared.runtime.clock import Clock, system_clock
from shared.runtime.logging import ThrottledLogger, trace_extra
from shared.windows.assembler import AssemblyResult
from shared.windows.featurise import featurise
from shared.windows.final_windows import FinalWindows
from shared.windows.open_window import ClosedWindow

log = logging.getLogger("gaitway.features")

Offsets = dict[TopicPartition, OffsetAndMetadata]
RETRY_S = 0.5
# When log time leaps, the windows of all users are due at once. In between the loop's other tasks, heartbeats among
# them, get their turn, and the arrays of a step stay small.
FEATURISE_WINDOWS = 256
YIELD_RECORDS = 200
STEP_WINDOWS = 2_000
"""Windows and gaps that are published together at most: a poll may hold days of somebody's data."""
SLOW_S = 5.0

# Kept, since finding a child by its labels costs more than counting.
_FOLDED = {name: metrics.RECORDS_FOLDED.labels(name) for name in MODALITY_NAMES}
_COVERAGE = {name: metrics.WINDOW_COVERAGE.labels(name) for name in MODALITY_NAMES}
_GATEWAY_TO_WINDOW = metrics.EVENT_LATENCY_SECONDS.labels("gateway_to_window")


@dataclass(slots=True)
class _Step:
    """What has closed since the last publication; of a batch that closes much there are several."""

    windows: dict[int, list[ClosedWindow]] = field(default_factory=dict)
    """By partition, in the order in which they have closed."""
    gaps: list[tuple[int, Gap]] = field(default_factory=list)
    gap_ms: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: list[Rejected] = field(default_factory=list)
    size: int = 0


class WindowProducer(Protocol):
    """Where windows, gaps and rejected records go."""

    async def publish(
        self, windows: Sequence[WindowToPublish], gaps: Sequence[tuple[int, Gap]], rejected: Sequence[Rejected]
    ) -> None:
        """Returns once everything is acknowledged; raises RetryLater."""


async def _go_on() -> None:
    """No checkpoint."""


class Processor:
    """The fold of the partitions that this worker owns.

    ``process`` returns when the batch's windows are on the bus; ``committable`` says up to where that is in Redis too.
    """

    def __init__(
        self,
        users: BaselineCache,
        output: WindowProducer,
        health: ConsumerHealth,
        topic_names: Sequence[str],
        max_unsaved_baselines: int,
        dead_letter_limit: DeadLetterLimit,
        clock: Clock = system_clock,
    ) -> None:
        self.partitions: dict[int, PartitionTask] = {}
        self._users = users
        self._output = output
        self._health = health
        self._topic_names = list(topic_names)
        self._max_unsaved_baselines = max_unsaved_baselines
        self._dead_letter_limit = dead_letter_limit
        self._clock = clock
        self._partition_of: dict[str, PartitionTask] = {}
        self._persisted = False
        self._throttled = ThrottledLogger(log)

    def assign(self, partitions: Mapping[int, PartitionTask]) -> None:
        """Take these partitions over, with nothing in memory."""
        self._users.clear()
        self._partition_of.clear()
        self._persisted = False
        self.partitions = dict(partitions)

    async def process(
        self, batch: Mapping[TopicPartition, Sequence[Any]], checkpoint: Callable[[], Awaitable[None]] = _go_on
    ) -> None:
        """Fold one poll's records and publish what they close.

        ``checkpoint`` is awaited where the batch is long and ``committable`` says how far it has come.

        Raises:
            LostOwnership: another worker has taken over.
            Stop: too much is rejected. All of the batch is done, its dead letters are on the bus.
        """
        self._persisted = False
        rejected: list[Rejected] = []
        for tp, records in batch.items():
            rejected += self.partitions[tp.partition].deliver(self._topic_names.index(tp.topic), records)
        released = [(partition, partition.release()) for partition in self.partitions.values()]
        for partition, log_records in released:
            self._partition_of |= {r.user: partition for r in log_records if r.samples is not None}
        await self._load({r.user for _, log_records in released for r in log_records if r.samples is not None})
        step = _Step(rejected=rejected)
        for partition, log_records in released:
            for count, record in enumerate(log_records, 1):
                is_long = False
                for part, closed in enumerate(partition.fold_in_parts(record)):
                    self._take(step, partition, closed)
                    if step.size >= STEP_WINDOWS:
                        is_long = True
                        await self._finish(step)
                        step = _Step()
                    if part:
                        await asyncio.sleep(0)
                if is_long:
                    # It may be a long way to the end of the batch: what is done so far need not be done again.
                    await self._finish(step)
                    step = _Step()
                    await checkpoint()
                if count % YIELD_RECORDS == 0:
                    await asyncio.sleep(0)
            for name, n in Counter(r.samples.modality.name for r in log_records if r.samples is not None).items():
                _FOLDED[name].inc(n)
        await self._finish(step)
        # Ticks are no records.
        filled = sum(bool(record.value) for records in batch.values() for record in records)
        self._dead_letter_limit.count(filled, len(rejected))

    async def _load(self, users: set[str]) -> None:
        """Bring users into memory, and those that Redis could not be asked for before."""
        for user, devices in (await self._users.load_missing(users)).items():
            for device, closed in devices.items():
                self._partition_of[user].assembler.restore_final(user, device, closed)

    def _take(self, step: "_Step", partition: PartitionTask, closed: AssemblyResult) -> None:
        """Add what one part of a record has closed to the step."""
        for user, device, start in closed.slots:
            self._users.mark_final(user, device, start // HOUR_MS)
        if closed.windows:
            step.windows.setdefault(partition.number, []).extend(closed.windows)
        step.gaps += [(partition.number, gap) for gap in closed.gaps]
        step.gap_ms.update(closed.gap_ms)
        step.size += len(closed.slots) + len(closed.gaps)
        for name, n in closed.late_samples.items():
            metrics.SAMPLES_LATE.labels(name).inc(n)
        for name, n in closed.repeated_samples.items():
            metrics.SAMPLES_REPEATED.labels(name).inc(n)
        for (name, fault), n in closed.implausible_samples.items():
            metrics.SAMPLES_IMPLAUSIBLE.labels(name, fault).inc(n)

    async def _finish(self, step: "_Step") -> None:
        """Compute, publish, then fold into Redis what has closed so far."""
        self._persisted = False
        windows: list[WindowToPublish] = []
        gaps, gap_ms = step.gaps, step.gap_ms
        for number, raw in step.windows.items():
            partition = self.partitions[number]
            ready, failed = await self._featurise(partition, raw)
            windows += ready
            gaps += failed
            for _, gap in failed:
                gap_ms[gap.modality, gap.reason] += partition.assembler.hop_ms
        if windows or gaps or step.rejected:
            await self._publish(windows, gaps, step.rejected)
            self._count(windows, gaps, gap_ms)
        await self._persist()
        self._health.heartbeat()

    async def _featurise(
        self, partition: PartitionTask, windows: list[ClosedWindow]
    ) -> tuple[list[WindowToPublish], list[tuple[int, Gap]]]:
        ready: list[WindowToPublish] = []
        gaps: list[tuple[int, Gap]] = []
        for start in range(0, len(windows), FEATURISE_WINDOWS):
            done = featurise(windows[start : start + FEATURISE_WINDOWS], self._users)
            ready += [WindowToPublish(partition.number, raw, record) for raw, record in done.windows]
            gaps += [(partition.number, gap) for gap in done.gaps]
            await asyncio.sleep(0)
        return ready, gaps

    async def _publish(
        self, windows: list[WindowToPublish], gaps: list[tuple[int, Gap]], rejected: list[Rejected]
    ) -> None:
        while True:
            publishing = asyncio.ensure_future(self._output.publish(windows, gaps, rejected))
            # The producer retries by itself for as long as the broker is away; say so meanwhile.
            while not (await asyncio.wait({publishing}, timeout=SLOW_S))[0]:
                self._health.set_unready("kafka", f"{len(windows)} windows are not acknowledged")
            try:
                publishing.result()
                break
            except RetryLater as error:
                # Folded is folded: the same windows again until they are through. Repeats are dropped by inference.
                self._health.set_unready("kafka", str(error), refused=isinstance(error, Refused))
                self._throttled.log("publish", logging.WARNING, "%s; %d windows wait", error, len(windows))
                await asyncio.sleep(RETRY_S)
        self._health.set_ready("kafka")

    def _count(
        self, windows: Iterable[WindowToPublish], gaps: Iterable[tuple[int, Gap]], gap_ms: Mapping[tuple[str, str], int]
    ) -> None:
        """What has just been published."""
        now_ms = self._clock()
        telling = log.isEnabledFor(logging.DEBUG)
        for ready in windows:
            raw, record = ready.raw, ready.record
            _closed(raw.closed_by, metrics.modalities_label(record.mask)).inc()
            for name in raw.announced:
                _COVERAGE[name].observe(record.coverage[name])
            _GATEWAY_TO_WINDOW.observe(max(0, now_ms - record.source_received_at_ms) / 1000)
            if telling:
                log.debug("window of %d, %s", raw.window_start_ms, raw.closed_by, extra=trace_extra(raw.traceparent))
        for _, gap in gaps:
            metrics.GAPS.labels(gap.modality, gap.reason).inc()
        for labels, ms in gap_ms.items():
            metrics.GAP_SECONDS.labels(*labels).inc(ms / 1000)

    async def _persist(self) -> None:
        """Fold into Redis; while it is away go on with what is in memory, up to a bound."""
        while not await self._users.save(self._slots_of):
            waiting = self._users.waiting
            failure = self._users.failure
            why = f"{failure}; {waiting} folds wait" if failure else f"{waiting} folds wait"
            self._health.set_unready("redis", why, refused=isinstance(failure, Refused))
            if waiting < self._max_unsaved_baselines:
                return
            # Waiting for a Redis that is away is no reason to restart; one that refuses for long is (Health.refused).
            self._health.heartbeat()
            self._health.partitions.note_work()
            await asyncio.sleep(RETRY_S)
            await self._load(set())
        self._health.set_ready("redis")
        self._persisted = True

    def _slots_of(self, user: str) -> dict[str, FinalWindows]:
        return self._partition_of[user].assembler.final_windows(user)

    def committable(self) -> Offsets:
        """Where a restart may begin: empty unless all that was folded is on the bus and in Redis."""
        if not self._persisted:
            return {}
        return {
            TopicPartition(self._topic_names[topic], partition.number): OffsetAndMetadata(position[0], str(position[1]))
            for partition in self.partitions.values()
            for topic, position in enumerate(partition.committable())
            if position is not None
        }

    def forget_idle(self, idle_ms: int) -> None:
        """Drop the users who have sent nothing for ``idle_ms`` of log time; they come back from Redis."""
        if not self._persisted:
            return
        for partition in self.partitions.values():
            gone = partition.assembler.forget_idle(partition.log_ms - idle_ms)
            self._users.forget(gone)
            for user in gone:
                self._partition_of.pop(user, None)

    def report(self) -> None:
        """Set the gauges."""
        partitions = self.partitions.values()
        metrics.OPEN_WINDOWS.set(sum(p.assembler.open_windows for p in partitions))
        metrics.USERS_IN_MEMORY.set(len(self._users))
        metrics.UNSAVED_BASELINES.set(self._users.waiting)
        watches = [watch for p in partitions for watch in p.assembler.watches(p.log_ms)]
        metrics.SILENT_DEVICES.set(sum(not watch.connected for watch in watches))
        metrics.MAX_CLOCK_SKEW.set(max((abs(watch.skew_ms) for watch in watches), default=0) / 1000)
        metrics.MERGE_WAITING.set(sum(p.waiting(topic) for p in partitions for topic in range(len(MODALITIES))))
        states = self._users.states()
        for index, (name, known) in enumerate(_BASELINE_STATES):
            for state in known:
                users = sum(count for pair, count in states.items() if pair[index] == state)
                metrics.BASELINES.labels(name, state).set(users)


_BASELINE_STATES = (("accelerometer", ACCELEROMETER_STATES), ("heart_rate", HEART_RATE_STATES))


@cache
def _closed(closed_by: str, modalities: str) -> prometheus_client.Counter:
    return metrics.WINDOWS_CLOSED.labels(closed_by, modalities)
