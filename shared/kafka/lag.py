"""How far behind each partition is, and since when it has made no progress: faust and aiokafka are known to hang."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from shared.runtime import metrics
from shared.runtime.clock import Clock, system_clock

log = logging.getLogger("gaitway.progress")

ASK_EVERY_S = 5.0
ANSWER_S = 5.0


@dataclass(slots=True)
class _PartitionState:
    position: int
    since_s: float
    handled_ms: int
    """Log time up to which everything has been processed; until that is known, when the partition began."""
    end: int = 0


class PartitionLag:
    """For each partition of a consumer, when its position last advanced or nothing was left to read.

    What is left to read is asked of the broker, not of the consumer, whose own view is what hangs. A broker that does
    not answer proves no progress. A position set back, when a partition is begun anew, is none either; reading on from
    there is. A partition that is paused waits for the others on purpose.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, clock: Clock = system_clock, *, topic_prefix: str = ""
    ) -> None:
        self._monotonic = monotonic
        self._clock = clock
        self._topic_prefix = topic_prefix
        self._standing: dict[TopicPartition, _PartitionState] = {}

    def stalled(self, after_s: float) -> list[str]:
        """The partitions without progress for that long, as ``topic/partition``."""
        now_s = self._monotonic()
        return sorted(f"{tp.topic}/{tp.partition}" for tp, s in self._standing.items() if now_s - s.since_s >= after_s)

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """These and no others are the consumer's; one that is new begins now."""
        now_s, now_ms = self._monotonic(), self._clock()
        self._standing = {tp: self._standing.get(tp) or _PartitionState(0, now_s, now_ms) for tp in partitions}

    def handled(self, batch: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """These records, in order of offset by partition, have been processed."""
        for tp, records in batch.items():
            if (standing := self._standing.get(tp)) is not None and records:
                standing.handled_ms = records[-1].timestamp

    def note_work(self) -> None:
        """Part of a batch has been done: progress of all partitions, which wait for it."""
        now_s = self._monotonic()
        for standing in self._standing.values():
            standing.since_s = now_s

    def report(self) -> None:
        """Set the gauges, of the partitions that are the consumer's now and no others."""
        now_s, now_ms = self._monotonic(), self._clock()
        for gauge in (metrics.LAG_RECORDS, metrics.LAG_SECONDS, metrics.PARTITION_PROGRESS_AGE_SECONDS):
            gauge.clear()
        for tp, standing in self._standing.items():
            labels = (tp.topic.removeprefix(self._topic_prefix), str(tp.partition))
            lag = max(0, standing.end - standing.position)
            behind_s = max(0, now_ms - standing.handled_ms) / 1000 if lag else 0.0
            metrics.LAG_RECORDS.labels(*labels).set(lag)
            metrics.LAG_SECONDS.labels(*labels).set(behind_s)
            metrics.PARTITION_PROGRESS_AGE_SECONDS.labels(*labels).set(now_s - standing.since_s)

    def observe(
        self, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], paused: Iterable[Any] = ()
    ) -> None:
        """Where the consumer stands, and where its partitions end; what is not known is left out."""
        now_s, now_ms = self._monotonic(), self._clock()
        waiting = set(paused)
        for tp, standing in self._standing.items():
            position = positions.get(tp)
            if position is None:
                continue
            standing.end = max(ends.get(tp, standing.end), position)
            at_end = tp in ends and position >= ends[tp]
            if position > standing.position or at_end or tp in waiting:
                standing.since_s = now_s
            if at_end:
                standing.handled_ms = now_ms
            standing.position = position

    async def watch(self, consumer: Any) -> None:
        """Observe this consumer until cancelled; never raises: what keeps it from looking is no progress."""
        while True:
            try:
                await self.look(consumer)
            except (KafkaError, TimeoutError) as error:
                log.debug("the partitions' ends cannot be asked for: %r", error)
            except Exception as error:
                log.warning("the partitions' ends cannot be asked for: %r", error)
            await asyncio.sleep(ASK_EVERY_S)

    async def look(self, consumer: Any) -> None:
        """Observe once, within ``2 * ANSWER_S``; raises KafkaError and TimeoutError when the broker does not answer."""
        partitions = sorted(consumer.assignment())
        self.assigned(partitions)
        positions = await _positions(consumer, partitions)
        self.observe(positions, {}, consumer.paused())
        async with asyncio.timeout(ANSWER_S):
            ends = await consumer.end_offsets(partitions)
        self.observe(positions, ends)


async def _positions(consumer: Any, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Those that are known; aiokafka waits for the others, up to its request's time limit."""
    asking = {tp: asyncio.ensure_future(consumer.position(tp)) for tp in partitions}
    if not asking:
        return {}
    try:
        await asyncio.wait(asking.values(), timeout=ANSWER_S)
    finally:
        for one in asking.values():
            one.cancel()
    return {
        tp: one.result() for tp, one in asking.items() if one.done() and not one.cancelled() and not one.exception()
    }
