"""Lag of each partition, and the time since its last progress, because faust and aiokafka are known to hang."""

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
    """Log time up to which everything is processed; until that is known, the time of the assignment."""
    end: int = 0


class PartitionLag:
    """For each partition of a consumer, the time when its position last advanced or nothing was left to read.

    The end offsets come from the broker, because the consumer's own view is the part that hangs. No answer of the
    broker means no progress. A position that is set back when a partition restarts is no progress either; reading on
    from there is. A paused partition waits for the others on purpose.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, clock: Clock = system_clock, *, topic_prefix: str = ""
    ) -> None:
        self._monotonic = monotonic
        self._clock = clock
        self._topic_prefix = topic_prefix
        self._states: dict[TopicPartition, _PartitionState] = {}

    def stalled(self, after_s: float) -> list[str]:
        """Return the partitions without progress for that long, as ``topic/partition``."""
        now_s = self._monotonic()
        return sorted(f"{tp.topic}/{tp.partition}" for tp, s in self._states.items() if now_s - s.since_s >= after_s)

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Set the partitions of the consumer; a new one starts now."""
        now_s, now_ms = self._monotonic(), self._clock()
        self._states = {tp: self._states.get(tp) or _PartitionState(0, now_s, now_ms) for tp in partitions}

    def handled(self, batch: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Note that these records, by partition in order of offset, are processed."""
        for tp, records in batch.items():
            if (state := self._states.get(tp)) is not None and records:
                state.handled_ms = records[-1].timestamp

    def note_work(self) -> None:
        """Note that part of a batch is done: progress of all partitions, which wait for it."""
        now_s = self._monotonic()
        for state in self._states.values():
            state.since_s = now_s

    def report(self) -> None:
        """Set the gauges of the partitions that are assigned now, and remove all others."""
        now_s, now_ms = self._monotonic(), self._clock()
        for gauge in (metrics.LAG_RECORDS, metrics.LAG_SECONDS, metrics.PARTITION_PROGRESS_AGE_SECONDS):
            gauge.clear()
        for tp, state in self._states.items():
            labels = (tp.topic.removeprefix(self._topic_prefix), str(tp.partition))
            lag = max(0, state.end - state.position)
            behind_s = max(0, now_ms - state.handled_ms) / 1000 if lag else 0.0
            metrics.LAG_RECORDS.labels(*labels).set(lag)
            metrics.LAG_SECONDS.labels(*labels).set(behind_s)
            metrics.PARTITION_PROGRESS_AGE_SECONDS.labels(*labels).set(now_s - state.since_s)

    def observe(
        self, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], paused: Iterable[Any] = ()
    ) -> None:
        """Note the positions and end offsets of partitions; unknown ones are left out."""
        now_s, now_ms = self._monotonic(), self._clock()
        waiting = set(paused)
        for tp, state in self._states.items():
            position = positions.get(tp)
            if position is None:
                continue
            state.end = max(ends.get(tp, state.end), position)
            at_end = tp in ends and position >= ends[tp]
            if position > state.position or at_end or tp in waiting:
                state.since_s = now_s
            if at_end:
                state.handled_ms = now_ms
            state.position = position

    async def watch(self, consumer: Any) -> None:
        """Observe this consumer until cancelled; an error is logged and counts as no progress."""
        while True:
            try:
                await self.look(consumer)
            except (KafkaError, TimeoutError) as error:
                log.debug("cannot read the end offsets of the partitions: %r", error)
            except Exception as error:
                log.warning("cannot read the end offsets of the partitions: %r", error)
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
    """Return the known positions; aiokafka waits for the others, up to its request's time limit."""
    requests = {tp: asyncio.ensure_future(consumer.position(tp)) for tp in partitions}
    if not requests:
        return {}
    try:
        await asyncio.wait(requests.values(), timeout=ANSWER_S)
    finally:
        for request in requests.values():
            request.cancel()
    return {
        tp: request.result()
        for tp, request in requests.items()
        if request.done() and not request.cancelled() and not request.exception()
    }
