"""Processing of batches of the log: merge, assemble, compute features, publish, save baselines to Redis, commit."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol

from aiokafka.structs import OffsetAndMetadata, TopicPartition

from services.features import window_metrics
from services.features.baseline_cache import BaselineCache
from services.features.baseline_store import BaselineStore
from services.features.baseline_sync import BaselineSync
from services.features.partition_task import PartitionTask, Rejected, WindowToPublish
from shared.contracts.errors import LostOwnership, Refused, RetryLater
from shared.contracts.gap import Gap
from shared.kafka.dead_letters import DeadLetterLimit
from shared.kafka.health import ConsumerHealth
from shared.runtime.clock import Clock, system_clock
from shared.runtime.logging import ThrottledLogger
from shared.windows.assembler import AssemblyResult, put_on_grid
from shared.windows.featurise import featurise_all

log = logging.getLogger("gaitway.features")

Offsets = dict[TopicPartition, OffsetAndMetadata]
_VALUE = attrgetter("value")
RETRY_S = 0.5
# After a jump of log time the windows of all users are due at once. Small parts let other tasks of the event loop run,
# such as heartbeats, and keep the arrays small.
FEATURISE_WINDOWS = 256
YIELD_RECORDS = 200
STEP_WINDOWS = 2_000
"""Closed windows that are published together, at most: a poll may contain days of a user's data."""
SLOW_S = 5.0


class WindowProducer(Protocol):
    """Output of windows, gaps and rejected records."""

    async def publish(
        self, windows: Sequence[WindowToPublish], gaps: Sequence[tuple[int, Gap]], rejected: Sequence[Rejected]
    ) -> None:
        """Publish and wait for all acknowledgements; raises RetryLater."""


async def _no_checkpoint() -> None:
    """Do nothing."""


class Processor:
    """Processor of all partitions of this worker in one batch, with one publication and one round trip to Redis.

    ``process`` returns when the batch's windows are published; ``committable`` gives the positions before which all is
    also saved in Redis.
    """

    def __init__(
        self,
        store: BaselineStore,
        output: WindowProducer,
        health: ConsumerHealth,
        topic_names: Sequence[str],
        max_unsaved_baselines: int,
        dead_letter_limit: DeadLetterLimit,
        clock: Clock = system_clock,
    ) -> None:
        self.partitions: dict[int, PartitionTask] = {}
        self._baselines = BaselineSync(store)
        self._output = output
        self._health = health
        self._topic_names = list(topic_names)
        self._max_unsaved_baselines = max_unsaved_baselines
        self._dead_letter_limit = dead_letter_limit
        self._clock = clock
        self._is_saved = False
        self._throttled = ThrottledLogger(log)

    def assign(self, partitions: Mapping[int, PartitionTask]) -> None:
        """Replace the owned partitions."""
        self._is_saved = False
        self.partitions = dict(partitions)

    async def process(
        self, batch: Mapping[TopicPartition, Sequence[Any]], checkpoint: Callable[[], Awaitable[None]] = _no_checkpoint
    ) -> None:
        """Process one poll's records and publish the windows and gaps that result.

        ``checkpoint`` is awaited inside a long batch, when ``committable`` has advanced.

        Raises:
            LostOwnership: another worker has taken over.
            Stop: too much is rejected. The whole batch is processed and its dead letters are published.
        """
        self._is_saved = False
        rejected: list[Rejected] = []
        for tp, records in batch.items():
            rejected += self.partitions[tp.partition].deliver(self._topic_names.index(tp.topic), records)
        released = [(partition, partition.release()) for partition in self.partitions.values()]
        await self._baselines.load(self._caches())
        unpublished = rejected
        closed = 0
        for partition, log_records in released:
            for count, record in enumerate(log_records, 1):
                is_long = False
                for _ in partition.fold_in_parts(record):
                    if closed + partition.closed >= STEP_WINDOWS:
                        is_long = True
                        await self._publish_and_save(unpublished)
                        unpublished, closed = [], 0
                    await asyncio.sleep(0)
                if is_long or closed + partition.closed >= STEP_WINDOWS:
                    # The rest of the batch may take long, so a restart should not repeat this part.
                    await self._publish_and_save(unpublished, all_users=True)
                    unpublished, closed = [], 0
                    await checkpoint()
                if count % YIELD_RECORDS == 0:
                    await asyncio.sleep(0)
            closed += partition.closed
            window_metrics.count_records(log_records)
        await self._publish_and_save(unpublished)
        # Ticks do not count as records.
        filled = sum(sum(map(bool, map(_VALUE, records))) for records in batch.values())
        self._dead_letter_limit.count(filled, len(rejected))

    async def _publish_and_save(self, rejected: Sequence[Rejected], *, all_users: bool = False) -> None:
        """Compute and publish the windows that have closed since the last call.

        Then save the updated baselines that are due, or all.
        """
        self._is_saved = False
        windows: list[WindowToPublish] = []
        gaps: list[tuple[int, Gap]] = []
        gap_ms: Counter[tuple[str, str]] = Counter()
        for group in self._closed_in_groups():
            put_on_grid([part for _, part in group])
            featurised = featurise_all([(part.windows, partition.users) for partition, part in group])
            for (partition, part), done in zip(group, featurised, strict=True):
                number = partition.number
                windows += [WindowToPublish(number, window, record) for window, record in done.windows]
                gaps += [(number, gap) for gap in (*part.gaps, *done.gaps)]
                gap_ms.update(part.gap_ms)
                for gap in done.gaps:
                    gap_ms[gap.modality, gap.reason] += partition.assembler.hop_ms
                window_metrics.count_unused(part)
            await asyncio.sleep(0)
        if windows or gaps or rejected:
            await self._publish(windows, gaps, rejected)
            window_metrics.count_published(windows, gaps, gap_ms, self._clock())
        await self._save(all_users=all_users)
        self._health.heartbeat()

    def _closed_in_groups(self) -> Iterator[list[tuple[PartitionTask, AssemblyResult]]]:
        """What has closed since the last call, of all partitions: groups of few array operations and little memory."""
        group: list[tuple[PartitionTask, AssemblyResult]] = []
        size = 0
        for partition in self.partitions.values():
            closed = partition.take_closed()
            window_metrics.count_late(closed.late_samples)
            for part in closed.in_parts(FEATURISE_WINDOWS):
                if size + len(part.closed) > FEATURISE_WINDOWS:
                    yield group
                    group, size = [], 0
                group.append((partition, part))
                size += len(part.closed)
        if group:
            yield group

    async def _publish(
        self, windows: Sequence[WindowToPublish], gaps: Sequence[tuple[int, Gap]], rejected: Sequence[Rejected]
    ) -> None:
        while True:
            publishing = asyncio.ensure_future(self._output.publish(windows, gaps, rejected))
            # The producer itself retries while the broker is unavailable; report this on /readyz.
            while not (await asyncio.wait({publishing}, timeout=SLOW_S))[0]:
                self._health.set_unready("kafka", f"{len(windows)} windows are not acknowledged")
            try:
                publishing.result()
                break
            except RetryLater as error:
                # Repeat the same windows until they are acknowledged; inference drops repeats.
                self._health.set_unready("kafka", str(error), refused=isinstance(error, Refused))
                self._throttled.log("publish", logging.WARNING, "%s; %d windows wait", error, len(windows))
                await asyncio.sleep(RETRY_S)
        self._health.set_ready("kafka")

    async def _save(self, *, all_users: bool) -> None:
        """Write baselines and final windows; without Redis continue from memory, up to a limit."""
        caches = self._caches()
        while not await self._baselines.save(caches, all_users=all_users):
            failure = self._baselines.failure
            if failure is None:
                # Redis has newer data of a user: read it, then write what it lacks.
                await self._baselines.load(caches)
                continue
            waiting = self._unsaved()
            self._health.set_unready(
                "redis", f"{failure}; {waiting} baseline updates wait", refused=isinstance(failure, Refused)
            )
            if waiting < self._max_unsaved_baselines:
                return
            # An unavailable Redis is no reason to restart; one that refuses for long is (Health.refused).
            self._health.heartbeat()
            self._health.partitions.note_work()
            await asyncio.sleep(RETRY_S)
            await self._baselines.load(caches)
        self._health.set_ready("redis")
        self._is_saved = True

    def _caches(self) -> list[BaselineCache]:
        return [partition.users for partition in self.partitions.values()]

    def _unsaved(self) -> int:
        return sum(cache.waiting for cache in self._caches())

    def committable(self) -> Offsets:
        """Return the positions for a restart; empty unless all data is in Kafka, and what is due in Redis."""
        if not self._is_saved:
            return {}
        return {
            TopicPartition(self._topic_names[topic], partition.number): OffsetAndMetadata(position[0], str(position[1]))
            for partition in self.partitions.values()
            for topic, position in enumerate(partition.committable())
            if position is not None
        }

    async def save_all(self) -> None:
        """Write all changes, due or not, before the partitions go; failures are ignored, because the log has them."""
        try:
            await self._baselines.save(self._caches(), all_users=True)
        except LostOwnership as error:
            log.info("%s: it continues from the last commit", error)

    def forget_idle(self, idle_ms: int) -> None:
        """Drop users without data for ``idle_ms`` of log time; they are read again from Redis."""
        if not self._is_saved:
            return
        for partition in self.partitions.values():
            partition.forget_idle(idle_ms)

    def report(self) -> None:
        """Set the gauges."""
        window_metrics.report(self.partitions.values())
