"""One partition of the log: merge, assembler, users and committable positions."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.features.baseline_cache import BaselineCache
from shared.contracts.decoding import traceparent_of, user_of
from shared.contracts.errors import InvalidRecord, RecordFault
from shared.contracts.modality import MODALITIES
from shared.contracts.samples import TICK, decode_samples
from shared.contracts.time_limits import SAMPLES_FUTURE_MS, SAMPLES_PAST_MS
from shared.contracts.window import WindowRecord
from shared.runtime import fault_injection
from shared.windows.assembler import Assembler, AssemblyResult
from shared.windows.closed_window import ClosedWindow
from shared.windows.merge import TOPICS, LogRecord, Merge
from shared.windows.retention import Position, oldest
from shared.windows.window_samples import WindowSamples


@dataclass(frozen=True, slots=True, eq=False)
class Rejected:
    """A record that cannot be processed, with the reason as text and as a metric label."""

    record: Any
    reason: str
    fault: RecordFault


class WindowToPublish(msgspec.Struct, frozen=True, eq=False):
    """A window to publish into the partition of its input."""

    partition: int
    raw: ClosedWindow
    record: WindowRecord


class PartitionTask:
    """All state of one partition, without I/O; Processor does it for all partitions at once.

    The assembler holds the final windows of each user. ``users`` restores them from Redis into it, and reads those to
    write from it.

    ``start``: per topic the committed (offset, log time), or None without a commit. ``save_after_ms``: log time after
    which a user's changes are written to Redis; at 25 s, with a window every 10 s, three windows at a time.
    """

    def __init__(
        self,
        number: int,
        hop_ms: int,
        grace_ms: int,
        start: Sequence[Position | None],
        *,
        phase_per_user: bool,
        save_after_ms: int = 0,
    ) -> None:
        self.number = number
        self.assembler = Assembler(hop_ms, grace_ms, phase_per_user=phase_per_user)
        self.users = BaselineCache(self.assembler, save_after_ms)
        self.log_ms = 0
        self._merge = Merge(tuple(position[1] if position else 0 for position in start))
        self._released: list[Position | None] = list(start)
        self._closed = AssemblyResult()

    def deliver(self, topic: int, records: Iterable[Any]) -> list[Rejected]:
        """Take the next records of one topic; returns unreadable ones, which act as ticks in the merge."""
        rejected = []
        for record in records:
            log_ms = self._merge.floor_ms(topic, record.timestamp)
            try:
                entry = _log_record(topic, log_ms, record)
            except InvalidRecord as error:
                rejected.append(Rejected(record, str(error), error.fault))
                entry = LogRecord(log_ms, topic, record.offset)
            self._merge.push(entry)
        return rejected

    def waiting(self, topic: int) -> int:
        """Return the number of records of the topic that wait for other topics."""
        return self._merge.waiting(topic)

    def waiting_bytes(self, topic: int) -> int:
        """Return the bytes of their samples."""
        return self._merge.waiting_bytes(topic)

    def release(self) -> list[LogRecord]:
        """Return the records whose order is final, and add their users to ``users``."""
        released = self._merge.pop()
        for record in released:
            if record.samples is not None:
                self.users.add(record.user)
        return released

    def fold(self, record: LogRecord) -> AssemblyResult:
        """Fold one released record; returns what it and those since the last call have closed."""
        for _ in self.fold_in_parts(record):
            pass
        return self.take_closed()

    def fold_in_parts(self, record: LogRecord) -> Iterator[None]:
        """Fold in parts, for a caller with other work in between; take all parts before the next record."""
        self.log_ms = record.log_ms
        self._released[record.topic] = (record.offset + 1, record.log_ms)
        return self.assembler.fold_in_parts(record, self._closed)

    @property
    def closed(self) -> int:
        """Number of windows and gaps that ``take_closed`` returns."""
        return len(self._closed.closed)

    def take_closed(self) -> AssemblyResult:
        """Return what has closed since the last call, and note its windows as final."""
        closed = self._closed.take()
        self.users.log_ms = self.log_ms
        self.users.mark_final(closed.final)
        for each in closed.closed:
            if isinstance(each, WindowSamples):
                self.users.retain(each.user, each.first)
        return closed

    def forget_idle(self, idle_ms: int) -> None:
        """Drop users without data for ``idle_ms`` of log time, once all their data is saved."""
        self.users.forget(self.assembler.forget_idle(self.log_ms - idle_ms, self.users.has_unsaved))

    def committable(self) -> list[Position | None]:
        """Return the oldest needed position per topic; all folded records must be published already."""
        retained = oldest(self.assembler.retained(), self.users.retained())
        return [retained[topic] or self._released[topic] for topic in TOPICS]


def _log_record(topic: int, log_ms: int, record: Any) -> LogRecord:
    lost = fault_injection.is_injected("lost-upload") and record.offset % fault_injection.EVERY == 0
    if lost or record.value is None or record.value == TICK:
        return LogRecord(log_ms, topic, record.offset)
    user = user_of(record.key)
    samples = decode_samples(MODALITIES[topic], record.value)
    if samples.t0_ms < log_ms - SAMPLES_PAST_MS or samples.end_ms > log_ms + SAMPLES_FUTURE_MS:
        detail = f"samples from {samples.t0_ms} to {samples.end_ms:.0f} ms are too far from log time {log_ms}"
        raise InvalidRecord(detail, fault="time")
    return LogRecord(log_ms, topic, record.offset, user, samples, traceparent_of(record.headers))
