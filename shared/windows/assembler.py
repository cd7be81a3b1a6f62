"""Event-time windows from the merged log (architecture.md, section 4): a pure object, ``fold(record) -> closed``.

No decision uses the wall clock, the order of reading or another user's data.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from shared.contracts.gap import Gap, GapReason
from shared.contracts.grid import grid_phase_ms
from shared.contracts.modality import WINDOW_MS
from shared.contracts.samples import SampleRecord
from shared.signal.plausibility import Fault
from shared.windows.closed_window import ClosedWindow
from shared.windows.connectivity import DeviceStatus
from shared.windows.device_state import DeviceState, PendingGap
from shared.windows.final_windows import FinalWindows
from shared.windows.merge import LogRecord
from shared.windows.open_window import OpenWindow, PendingUpload
from shared.windows.retention import Position, RetainedOffsets
from shared.windows.window_samples import Resampled, WindowSamples, resample

Name = TypeVar("Name")
Key = tuple[str, str]
"""(user, device)."""

PART_WINDOWS = 256
"""Windows that one piece of a fold opens or closes at most: some ten milliseconds."""


def starts_of(samples: SampleRecord, hop_ms: int, phase_ms: int) -> range:
    """The starts of the windows that have one of these samples."""
    last_stamp_ms = samples.t0_ms + (samples.n - 1) * 1000.0 / samples.rate_hz
    first_slot = (samples.t0_ms - phase_ms - WINDOW_MS) // hop_ms + 1
    return range(phase_ms + first_slot * hop_ms, int(last_stamp_ms) + 1, hop_ms)


@dataclass(slots=True)
class AssemblyResult:
    """What some steps of the log have closed, in order.

    ``windows`` and what follows from the samples are computed at their first use, or before by `put_on_grid`.
    """

    closed: list[WindowSamples | Gap] = field(default_factory=list)
    """Closed windows, and gaps between windows."""
    final: list[tuple[str, str, int]] = field(default_factory=list)
    """(user, device, window_start_ms) of every window that has become final, published or not."""
    late_samples: dict[str, int] = field(default_factory=dict)
    _resampled: "_Resampled | None" = None

    def extend(self, later: "AssemblyResult") -> None:
        """Append what a later step has closed."""
        self.closed += later.closed
        self.final += later.final
        _add(self.late_samples, later.late_samples)
        self._resampled = None

    def take(self) -> "AssemblyResult":
        """Return the content and start again without it, also in the middle of a fold."""
        taken = AssemblyResult(self.closed, self.final, self.late_samples)
        self.closed, self.final, self.late_samples, self._resampled = [], [], {}, None
        return taken

    def in_parts(self, size: int) -> Iterator["AssemblyResult"]:
        """The same windows and gaps in order, at most ``size`` at a time, without ``final`` and ``late_samples``."""
        for first in range(0, len(self.closed), size):
            yield AssemblyResult(self.closed[first : first + size])

    @property
    def windows(self) -> list[ClosedWindow]:
        """The windows with enough acceleration to be published."""
        return self._on_grid().windows

    @property
    def gaps(self) -> list[Gap]:
        """The gaps inside windows and between them."""
        return self._on_grid().gaps

    @property
    def gap_ms(self) -> dict[tuple[str, GapReason], int]:
        """By modality and reason, the length of the gaps; of a window its newest hop, so that a time counts once."""
        return self._on_grid().gap_ms

    @property
    def repeated_samples(self) -> dict[str, int]:
        """By modality, those whose time an open window held already."""
        return self._on_grid().repeated_samples

    @property
    def implausible_samples(self) -> dict[tuple[str, Fault], int]:
        """By modality and what is wrong with them."""
        return self._on_grid().implausible_samples

    def _on_grid(self) -> "_Resampled":
        if self._resampled is None:
            put_on_grid([self])
        assert self._resampled is not None
        return self._resampled


def put_on_grid(results: Sequence[AssemblyResult]) -> None:
    """Compute the windows of several results together."""
    windows = [each for result in results for each in result.closed if isinstance(each, WindowSamples)]
    resampled = iter(resample(windows))
    for result in results:
        result._resampled = _Resampled.of(result.closed, resampled)


@dataclass(slots=True)
class _Resampled:
    windows: list[ClosedWindow] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    gap_ms: dict[tuple[str, GapReason], int] = field(default_factory=dict)
    repeated_samples: dict[str, int] = field(default_factory=dict)
    implausible_samples: dict[tuple[str, Fault], int] = field(default_factory=dict)

    @classmethod
    def of(cls, closed: Sequence[WindowSamples | Gap], resampled: Iterator[Resampled]) -> "_Resampled":
        out = cls()
        for each in closed:
            if isinstance(each, Gap):
                out.gaps.append(each)
                _add(out.gap_ms, {(each.modality, each.reason): each.end_ms - each.start_ms})
            else:
                out._add_window(next(resampled))
        return out

    def _add_window(self, resampled: Resampled) -> None:
        window = resampled.window
        if window.signals["accelerometer"].passes:
            self.windows.append(window)
        if window.failed:
            self.gaps += [window.gap(name, reason) for name, reason in window.failed.items()]
            _add(self.gap_ms, dict.fromkeys(window.failed.items(), window.hop_ms))
        _add(self.repeated_samples, resampled.repeated)
        _add(self.implausible_samples, resampled.implausible)


def _add(counts: dict[Name, int], more: Mapping[Name, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count


class Assembler:
    """The windows of one partition of the log.

    ``grace_ms`` of log time after its last contribution an incomplete window closes. The grid has the ``hop_ms`` and,
    with ``phase_per_user``, each user's own phase.
    """

    def __init__(self, hop_ms: int, grace_ms: int, *, phase_per_user: bool = False) -> None:
        self.hop_ms = hop_ms
        self.grace_ms = grace_ms
        self._phase_per_user = phase_per_user
        self._users: dict[str, dict[str, DeviceState]] = {}
        self._due: list[tuple[int, str, str, int, bool]] = []
        self._retained = RetainedOffsets()
        self._log_ms = 0

    def make_final(self, user: str) -> FinalWindows:
        """Make an empty set of final windows on the user's grid."""
        phase_ms = grid_phase_ms(user, self.hop_ms) if self._phase_per_user else 0
        return FinalWindows(self.hop_ms, phase_ms=phase_ms)

    def restore_final(self, user: str, device: str, final: FinalWindows) -> None:
        """Add windows of a (user, device) that were final before this object; ``final`` may become its own."""
        device_state = self._users.setdefault(user, {}).get(device)
        if device_state is None:
            self._users[user][device] = DeviceState(final, self._retained)
            return
        for hour, bits in final.hours.items():
            device_state.final.hours[hour] = device_state.final.hours.get(hour, 0) | bits
        for start in [start for start in device_state.open if start in device_state.final]:
            device_state.release(start)

    def final_windows(self, user: str) -> dict[str, FinalWindows]:
        """The final windows of a user by device: the very objects that this assembler adds to."""
        return {device: device_state.final for device, device_state in self._users.get(user, {}).items()}

    def fold(self, record: LogRecord) -> AssemblyResult:
        """Take the next record of the log; close what its time makes due, then what it completes."""
        out = AssemblyResult()
        for _ in self.fold_in_parts(record, out):
            pass
        return out

    def fold_in_parts(self, record: LogRecord, out: AssemblyResult) -> Iterator[None]:
        """The same into ``out``; yields after each piece of some hundred windows, in a record that has many.

        The next record only after the last piece.
        """
        self._log_ms = record.log_ms
        if self._due and self._due[0][0] <= record.log_ms:
            yield from self._close_due(record.log_ms, out)
        if record.samples is not None:
            yield from self._contribute(record, record.samples, out)

    def advance(self, log_ms: int) -> AssemblyResult:
        """Close what is due at this log time; the end of a log has no record to say so."""
        out = AssemblyResult()
        self._log_ms = log_ms
        for _ in self._close_due(log_ms, out):
            pass
        return out

    def _contribute(self, record: LogRecord, samples: SampleRecord, out: AssemblyResult) -> Iterator[None]:
        key = (record.user, samples.device)
        device_state = self._users.setdefault(record.user, {}).get(samples.device)
        if device_state is None:
            device_state = self._users[record.user][samples.device] = DeviceState(
                self.make_final(record.user), self._retained
            )
        starts = starts_of(samples, self.hop_ms, device_state.final.phase_ms)
        self._notice_gap(key, device_state, starts[0], record, samples)
        upload = device_state.upload_of(samples, record.log_ms - self.grace_ms)
        device_state.record_upload(record.log_ms, samples, upload)
        became_whole = upload.take(record, samples)
        if became_whole:
            for start in upload.starts:
                device_state.open[start].incomplete -= 1
        self._retained.retain(upload, record.topic, (record.offset, record.log_ms))
        touched: list[OpenWindow] = []
        for start in starts:
            window = device_state.open.get(start)
            if window is None:
                if start in device_state.final:
                    continue
                window = device_state.open_window(record.user, samples.device, start)
                heapq.heappush(self._due, (record.log_ms + self.grace_ms, *key, start, False))
            window.add(record, upload)
            touched.append(window)
            if len(touched) % PART_WINDOWS == 0:
                yield
        if not touched:
            _add(out.late_samples, {samples.modality.name: samples.n})
        if upload.missing:
            return
        if became_whole:
            touched = [device_state.open[start] for start in sorted(upload.starts)]
        # Of a part that came again only what it touched can have become complete.
        for count, window in enumerate(touched, 1):
            window.reach_ms = max(window.reach_ms, upload.reach_ms)
            if window.is_complete():
                self._close(device_state, window, "complete", out)
            if count % PART_WINDOWS == 0:
                yield
        device_state.forget_if_done(upload)

    def _notice_gap(
        self, key: Key, device_state: DeviceState, first_start: int, record: LogRecord, samples: SampleRecord
    ) -> None:
        previous = first_start - self.hop_ms
        if previous in device_state.pending_gaps or device_state.has(previous):
            return
        last = device_state.last_before(first_start)
        if last is None:
            return
        due_ms = record.log_ms + self.grace_ms
        reason: GapReason = "dropped_upload" if device_state.has_sequence_gap(samples) else "not_sent"
        pending = device_state.pending_gaps[previous] = PendingGap(last + self.hop_ms, previous, due_ms, reason)
        self._retained.retain(pending, record.topic, (record.offset, record.log_ms))
        heapq.heappush(self._due, (due_ms, *key, previous, True))

    def _close_due(self, log_ms: int, out: AssemblyResult) -> Iterator[None]:
        due: list[tuple[int, str, str, int, bool]] = []
        while self._due and self._due[0][0] <= log_ms:
            _, user, device, start, is_gap = heapq.heappop(self._due)
            device_state = self._users.get(user, {}).get(device)
            if device_state is None:
                continue
            if is_gap:
                if start in device_state.pending_gaps:
                    due.append((device_state.pending_gaps[start].due_ms, user, device, start, True))
                continue
            window = device_state.open.get(start)
            if window is None:
                continue
            due_ms = window.last_contribution_ms + self.grace_ms
            if due_ms > log_ms:
                heapq.heappush(self._due, (due_ms, user, device, start, False))
            else:
                due.append((due_ms, user, device, start, False))
        # By the true time, not by when a tick made us look: the same log closes in the same order.
        # A user who was forgotten and came back may have left an entry in the heap, hence the set.
        for count, (_, user, device, start, is_gap) in enumerate(sorted(set(due)), 1):
            device_state = self._users[user][device]
            if is_gap:
                pending = device_state.pending_gaps.pop(start)
                self._retained.release(pending)
                self._report_gap(user, device, device_state, pending, out)
            else:
                self._close(device_state, device_state.open[start], "grace", out)
            if count % PART_WINDOWS == 0:
                yield

    def _close(self, device_state: DeviceState, window: OpenWindow, closed_by: str, out: AssemblyResult) -> None:
        start = window.window_start_ms
        device_state.release(start)
        device_state.final.add(start)
        out.final.append((window.user, window.device, start))
        out.closed.append(window.close(closed_by))

    def _report_gap(
        self, user: str, device: str, device_state: DeviceState, pending: PendingGap, out: AssemblyResult
    ) -> None:
        """One gap per run of slots that are still without data; a slot's data reach 20 s, so do its neighbours'."""
        for first, last in device_state.runs_without_data(pending.first_start_ms, pending.last_start_ms):
            begin, end = first - self.hop_ms + WINDOW_MS, last + self.hop_ms
            if begin < end:
                out.closed.append(Gap(user, device, "accelerometer", begin, end, pending.reason, 0.0))

    def retained(self) -> list[Position | None]:
        """Per topic, the oldest record that an open window, a half-arrived upload or a pending gap still needs."""
        before_ms = self._log_ms - self.grace_ms
        return self._retained.low_watermarks(
            lambda holder: isinstance(holder, PendingUpload) and holder.is_expired(before_ms)
        )

    @property
    def open_windows(self) -> int:
        """Windows that wait for data."""
        return sum(len(device_state.open) for device_state in self._device_states())

    def _device_states(self) -> Iterator[DeviceState]:
        return (device_state for devices in self._users.values() for device_state in devices.values())

    def watches(self, log_ms: int) -> list[DeviceStatus]:
        """How every device in memory stands at this log time."""
        return [
            DeviceStatus(device_state.connectivity.is_connected(log_ms), device_state.skew.get() or 0)
            for device_state in self._device_states()
            if device_state.newest_log_ms
        ]

    def forget_idle(self, before_log_ms: int, is_kept: Callable[[str], bool] = lambda _: False) -> list[str]:
        """Drop the users with no data since ``before_log_ms`` and nothing open, unless kept; returns them."""
        idle = [
            user
            for user, devices in self._users.items()
            if not is_kept(user)
            and all(
                not device_state.open
                and not device_state.pending_gaps
                and device_state.newest_log_ms < before_log_ms
                # An upload half arrived is followed for the grace period; forgotten sooner, its windows would change.
                and all(upload.is_expired(self._log_ms - self.grace_ms) for upload in device_state.uploads.values())
                for device_state in devices.values()
            )
        ]
        for user in idle:
            del self._users[user]
        return idle
