"""Event-time windows from the merged log (architecture.md, section 4): a pure object, ``fold(record) -> closed``.

No decision uses the wall clock, the order of reading or another user's data.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from shared.contracts.gap import Gap, GapReason
from shared.contracts.modality import WINDOW_MS
from shared.contracts.samples import SampleRecord
from shared.signal.plausibility import Fault
from shared.windows.connectivity import Watch
from shared.windows.device_state import Hole, Stream
from shared.windows.final_windows import ClosedSlots
from shared.windows.merge import LogRecord
from shared.windows.open_window import Arrival, OpenWindow, RawWindow
from shared.windows.retention import Holds, Position

Name = TypeVar("Name")
Key = tuple[str, str]
"""(user, device)."""

PART_WINDOWS = 256
"""Windows that one piece of a fold opens or closes at most: some ten milliseconds."""


def starts_of(samples: SampleRecord, hop_ms: int) -> range:
    """The starts of the windows that have one of these samples."""
    last_stamp_ms = samples.t0_ms + (samples.n - 1) * 1000.0 / samples.rate_hz
    return range(((samples.t0_ms - WINDOW_MS) // hop_ms + 1) * hop_ms, int(last_stamp_ms) + 1, hop_ms)


@dataclass(slots=True)
class Closed:
    """What one step of the log has closed, in order."""

    windows: list[RawWindow] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    slots: list[tuple[str, str, int]] = field(default_factory=list)
    """(user, device, window_start_ms) of every window that has become final, published or not."""
    late_samples: dict[str, int] = field(default_factory=dict)
    repeated_samples: dict[str, int] = field(default_factory=dict)
    """By modality, those whose time an open window held already."""
    implausible_samples: dict[tuple[str, Fault], int] = field(default_factory=dict)
    """By modality and what is wrong with them."""
    gap_ms: dict[tuple[str, GapReason], int] = field(default_factory=dict)
    """By modality and reason, the length of the gaps; of a window its newest hop, so that a time counts once."""

    def extend(self, later: "Closed") -> None:
        """Append what a later step has closed."""
        self.windows += later.windows
        self.gaps += later.gaps
        self.slots += later.slots
        _add(self.late_samples, later.late_samples)
        _add(self.repeated_samples, later.repeated_samples)
        _add(self.implausible_samples, later.implausible_samples)
        _add(self.gap_ms, later.gap_ms)


def _add(counts: dict[Name, int], more: Mapping[Name, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count


class Assembler:
    """The windows of one partition of the log.

    ``hop_ms`` is the grid; ``linger_ms`` of log time after its last contribution an incomplete window closes.
    """

    def __init__(self, hop_ms: int, linger_ms: int) -> None:
        self.hop_ms = hop_ms
        self.linger_ms = linger_ms
        self._users: dict[str, dict[str, Stream]] = {}
        self._due: list[tuple[int, str, str, int, bool]] = []
        self._holds = Holds()
        self._log_ms = 0

    def remember(self, user: str, device: str, closed: ClosedSlots) -> None:
        """Tell which windows of a (user, device) were final before this object existed."""
        stream = self._users.setdefault(user, {}).get(device)
        if stream is None:
            self._users[user][device] = Stream(closed, self._holds)
            return
        for hour, bits in closed.hours.items():
            stream.closed.hours[hour] = stream.closed.hours.get(hour, 0) | bits
        for start in [start for start in stream.open if start in stream.closed]:
            stream.release(start)

    def closed_slots(self, user: str) -> dict[str, ClosedSlots]:
        """The final windows of a user, by device."""
        return {device: stream.closed for device, stream in self._users.get(user, {}).items()}

    def fold(self, record: LogRecord) -> Closed:
        """Take the next record of the log; close what its time makes due, then what it completes."""
        out = Closed()
        for closed in self.fold_in_parts(record):
            out.extend(closed)
        return out

    def fold_in_parts(self, record: LogRecord) -> Iterator[Closed]:
        """The same piece by piece, each of at most some hundred windows; the next record only after the last piece."""
        yield from self._close_due(record.log_ms)
        if record.samples is not None:
            yield from self._contribute(record, record.samples)

    def advance(self, log_ms: int) -> Closed:
        """Close what is due at this log time; the end of a log has no record to say so."""
        out = Closed()
        for closed in self._close_due(log_ms):
            out.extend(closed)
        return out

    def _contribute(self, record: LogRecord, samples: SampleRecord) -> Iterator[Closed]:
        key = (record.user, samples.device)
        stream = self._users.setdefault(record.user, {}).get(samples.device)
        if stream is None:
            stream = self._users[record.user][samples.device] = Stream(ClosedSlots(self.hop_ms), self._holds)
        starts = starts_of(samples, self.hop_ms)
        self._notice_hole(key, stream, starts[0], record, samples)
        stream.note(record.log_ms, samples)
        arrival = stream.arrival_of(samples, record.log_ms - self.linger_ms)
        became_whole = arrival.take(record, samples)
        self._holds.hold(arrival, record.topic, (record.offset, record.log_ms))
        late = 0
        touched: list[int] = []
        for start in starts:
            if start in stream.closed:
                late += 1
                continue
            window = stream.open.get(start)
            if window is None:
                window = stream.open_window(record.user, samples.device, start)
                heapq.heappush(self._due, (record.log_ms + self.linger_ms, *key, start, False))
            window.add(record, samples, arrival)
            touched.append(start)
            if len(touched) % PART_WINDOWS == 0:
                yield Closed()
        if became_whole:
            for start in arrival.starts:
                stream.open[start].waits_for.discard(arrival)
        out = Closed()
        if not arrival.missing:
            # Of a part that came again only what it touched can have become complete.
            for count, start in enumerate(sorted(arrival.starts) if became_whole else touched, 1):
                if stream.open[start].is_complete():
                    self._close(stream, stream.open[start], "complete", out)
                if count % PART_WINDOWS == 0:
                    yield out
                    out = Closed()
            stream.forget_if_done(arrival)
        if late == len(starts):
            _add(out.late_samples, {samples.modality.name: samples.n})
        yield out

    def _notice_hole(
        self, key: Key, stream: Stream, first_start: int, record: LogRecord, samples: SampleRecord
    ) -> None:
        previous = first_start - self.hop_ms
        if previous in stream.holes or stream.has(previous):
            return
        last = stream.last_before(first_start)
        if last is None:
            return
        due_ms = record.log_ms + self.linger_ms
        reason: GapReason = "dropped_upload" if stream.has_lost_before(samples) else "not_sent"
        hole = stream.holes[previous] = Hole(last + self.hop_ms, previous, due_ms, reason)
        self._holds.hold(hole, record.topic, (record.offset, record.log_ms))
        heapq.heappush(self._due, (due_ms, *key, previous, True))

    def _close_due(self, log_ms: int) -> Iterator[Closed]:
        self._log_ms = log_ms
        if not self._due or self._due[0][0] > log_ms:
            return
        due: list[tuple[int, str, str, int, bool]] = []
        while self._due and self._due[0][0] <= log_ms:
            _, user, device, start, is_hole = heapq.heappop(self._due)
            stream = self._users.get(user, {}).get(device)
            if stream is None:
                continue
            if is_hole:
                if start in stream.holes:
                    due.append((stream.holes[start].due_ms, user, device, start, True))
                continue
            window = stream.open.get(start)
            if window is None:
                continue
            due_ms = window.last_contribution_ms + self.linger_ms
            if due_ms > log_ms:
                heapq.heappush(self._due, (due_ms, user, device, start, False))
            else:
                due.append((due_ms, user, device, start, False))
        # By the true time, not by when a tick made us look: the same log closes in the same order.
        # A user who was forgotten and came back may have left an entry in the heap, hence the set.
        out = Closed()
        for count, (_, user, device, start, is_hole) in enumerate(sorted(set(due)), 1):
            stream = self._users[user][device]
            if is_hole:
                hole = stream.holes.pop(start)
                self._holds.release(hole)
                self._report_hole(user, device, stream, hole, out)
            else:
                self._close(stream, stream.open[start], "linger", out)
            if count % PART_WINDOWS == 0:
                yield out
                out = Closed()
        yield out

    def _close(self, stream: Stream, window: OpenWindow, closed_by: str, out: Closed) -> None:
        start = window.window_start_ms
        stream.release(start)
        stream.closed.add(start)
        out.slots.append((window.user, window.device, start))
        raw = window.close(closed_by)
        if raw.signals["accelerometer"].passes:
            out.windows.append(raw)
        out.gaps += [raw.gap(name, reason) for name, reason in raw.failed.items()]
        _add(out.gap_ms, dict.fromkeys(raw.failed.items(), self.hop_ms))
        _add(out.repeated_samples, window.repeated)
        _add(out.implausible_samples, window.implausible)

    def _report_hole(self, user: str, device: str, stream: Stream, hole: Hole, out: Closed) -> None:
        """One gap per run of slots that are still without data; a slot's data reach 20 s, so do its neighbours'."""
        for first, last in stream.runs_without_data(hole.first_start_ms, hole.last_start_ms):
            begin, end = first - self.hop_ms + WINDOW_MS, last + self.hop_ms
            if begin < end:
                out.gaps.append(Gap(user, device, "accelerometer", begin, end, hole.reason, 0.0))
                _add(out.gap_ms, {("accelerometer", hole.reason): end - begin})

    def holds(self) -> list[Position | None]:
        """Per topic, the oldest record that an open window, a half-arrived upload or a hole under watch still needs."""
        before_ms = self._log_ms - self.linger_ms
        return self._holds.oldest(lambda holder: isinstance(holder, Arrival) and holder.is_forgotten(before_ms))

    @property
    def open_windows(self) -> int:
        """Windows that wait for data."""
        return sum(len(stream.open) for stream in self._all_streams())

    def _all_streams(self) -> Iterator[Stream]:
        return (stream for devices in self._users.values() for stream in devices.values())

    def watches(self, log_ms: int) -> list[Watch]:
        """How every device in memory stands at this log time."""
        return [
            Watch(stream.presence.look(log_ms), stream.skew.get() or 0)
            for stream in self._all_streams()
            if stream.newest_log_ms
        ]

    def forget_idle(self, before_log_ms: int) -> list[str]:
        """Drop the users with no data since ``before_log_ms`` and nothing open; returns them."""
        idle = [
            user
            for user, devices in self._users.items()
            if all(
                not stream.open
                and not stream.holes
                and stream.newest_log_ms < before_log_ms
                # An upload half arrived is followed for the linger; forgotten sooner, its windows would change.
                and all(arrival.is_forgotten(self._log_ms - self.linger_ms) for arrival in stream.arrivals.values())
                for stream in devices.values()
            )
        ]
        for user in idle:
            del self._users[user]
        return idle
