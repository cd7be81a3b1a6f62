"""One window that waits for data, and the uploads that bring it."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.contracts.gap import Gap, GapReason
from shared.contracts.labels import RESTING
from shared.contracts.modality import ACCELEROMETER, HEART_RATE, MODALITIES, MODALITY_BY_NAME, WINDOW_MS, Modality
from shared.contracts.samples import SampleRecord
from shared.signal.baseline import Hop
from shared.signal.plausibility import Fault, find_faults
from shared.signal.resample import (
    FloatArray,
    GridSignal,
    empty_signal,
    even_signal,
    grid_signal,
    is_reading,
    masked_signal,
)
from shared.windows.gap_reason import reason_of
from shared.windows.merge import LogRecord


@dataclass(frozen=True, slots=True, eq=False)
class ClosedWindow:
    """A closed window on its grid, before any baseline: a pure function of the samples inside it."""

    user: str
    device: str
    window_start_ms: int
    hop_ms: int
    closed_by: str
    signals: dict[str, GridSignal]
    announced: frozenset[str]
    failed: dict[str, GapReason]
    resting: NDArray[np.bool_]
    source_received_at_ms: int
    utc_offset_min: int | None
    traceparent: str | None

    def gap(self, name: str, reason: GapReason) -> Gap:
        """The record of this modality's gap in the window."""
        start = self.window_start_ms
        return Gap(self.user, self.device, name, start, start + WINDOW_MS, reason, self.signals[name].coverage)

    def without(self, names: Collection[str]) -> "ClosedWindow":
        """The window with these modalities masked."""
        if not names:
            return self
        masked = {name: masked_signal(signal) if name in names else signal for name, signal in self.signals.items()}
        return replace(self, signals=masked)

    def newest_hop(self) -> Hop:
        """The hop with which this window updates the user's baseline."""
        accelerometer, heart = self.signals["accelerometer"], self.signals["heart_rate"]
        skip_ms = WINDOW_MS - self.hop_ms
        mg_from, bpm_from = skip_ms * 25 // 1000, skip_ms // 1000
        return Hop(
            start_ms=self.window_start_ms + skip_ms,
            hop_ms=self.hop_ms,
            mg=accelerometer.values[:, mg_from:],
            mg_covered=accelerometer.covered[mg_from:],
            bpm=heart.values[0, bpm_from:],
            bpm_covered=heart.covered[bpm_from:],
            resting=self.resting[bpm_from:],
        )


@dataclass(slots=True, eq=False)
class PendingUpload:
    """One upload in the log: its parts come one by one, each in the topic of its modality.

    ``missing``: announced but not yet arrived. ``starts``: the open windows that hold a part. No single window knows
    whether the upload is complete, so it is tracked here.
    """

    session: str
    seq: int
    missing: set[str]
    starts: set[int] = field(default_factory=set)
    newest_log_ms: int = 0

    def take(self, record: LogRecord, samples: SampleRecord) -> bool:
        """Add one part, or a repetition of one; returns whether it completes the upload."""
        was_missing = bool(self.missing)
        self.missing.discard(samples.modality.name)
        self.newest_log_ms = record.log_ms
        return was_missing and not self.missing

    def is_expired(self, before_log_ms: int) -> bool:
        """Whether no open window needs it and the time for its missing parts is over."""
        return not self.starts and self.newest_log_ms <= before_log_ms


class Spans:
    """Disjoint spans [begin, end) of time in ascending order; spans at most ``bridge_ms`` apart are joined.

    An accelerometer has at most 80 of them in a window, so the cost of adding one is bounded.
    """

    __slots__ = ("_begins", "_bridge_ms", "_ends")

    def __init__(self, bridge_ms: float) -> None:
        self._bridge_ms = bridge_ms
        self._begins: list[float] = []
        self._ends: list[float] = []

    def add(self, begin_ms: float, end_ms: float) -> None:
        """Add a span and join it with those that it touches."""
        begins, ends = self._begins, self._ends
        if not ends or begin_ms > ends[-1] + self._bridge_ms:
            begins.append(begin_ms)
            ends.append(end_ms)
            return
        if begin_ms >= begins[-1]:
            # Nearly every upload begins where the previous one ends.
            ends[-1] = max(ends[-1], end_ms)
            return
        first = bisect_left(self._ends, begin_ms - self._bridge_ms)
        last = bisect_right(self._begins, end_ms + self._bridge_ms)
        if first < last:
            begin_ms, end_ms = min(begin_ms, self._begins[first]), max(end_ms, self._ends[last - 1])
        self._begins[first:last] = [begin_ms]
        self._ends[first:last] = [end_ms]

    def cover(self, begin_ms: float, end_ms: float) -> bool:
        """Whether one span reaches from ``begin_ms`` to ``end_ms``, bridged at both ends."""
        index = bisect_right(self._begins, begin_ms + self._bridge_ms) - 1
        return index >= 0 and end_ms - self._ends[index] <= self._bridge_ms

    def meet(self, begin_ms: float, end_ms: float) -> bool:
        """Whether any span overlaps [begin, end)."""
        index = bisect_right(self._ends, begin_ms)
        return index < len(self._ends) and self._begins[index] < end_ms

    def retain(self, t_ms: FloatArray) -> NDArray[np.bool_]:
        """(n,) True for the times, in ascending order, that lie in a span."""
        if not t_ms.size:
            return np.zeros(0, dtype=bool)
        near = slice(bisect_right(self._ends, t_ms[0]), bisect_right(self._begins, t_ms[-1]))
        begins = np.array([*self._begins[near], np.inf])
        return np.asarray(begins[np.searchsorted(self._ends[near], t_ms, side="right")] <= t_ms)


@dataclass(slots=True, eq=False)
class OpenWindow:
    """The records with samples in [start, start + 20 s), and the uploads that they announce."""

    user: str
    device: str
    window_start_ms: int
    hop_ms: int
    records: dict[str, list[SampleRecord]] = field(default_factory=dict)
    spans: dict[str, Spans] = field(default_factory=dict)
    uploads: set[PendingUpload] = field(default_factory=set)
    pending_uploads: set[PendingUpload] = field(default_factory=set)
    """Those that are not complete."""
    announced: set[str] = field(default_factory=set)
    last_contribution_ms: int = 0
    source_received_at_ms: int = 0
    utc_offset_min: int | None = None
    traceparent: str | None = None
    repeated: dict[str, int] = field(default_factory=dict)
    """By modality, once closed: samples of its newest hop whose time was already covered."""
    implausible: dict[tuple[str, Fault], int] = field(default_factory=dict)
    """By modality and fault, once closed: faulty samples of its newest hop."""

    def add(self, record: LogRecord, samples: SampleRecord, upload: PendingUpload) -> None:
        """Add one record, which is a part of ``upload``."""
        self.uploads.add(upload)
        if upload.missing:
            self.pending_uploads.add(upload)
        upload.starts.add(self.window_start_ms)
        name = samples.modality.name
        self.records.setdefault(name, []).append(samples)
        spans = self.spans.get(name)
        if spans is None:
            spans = self.spans[name] = Spans(samples.modality.max_step_ms)
        spans.add(samples.t0_ms, samples.end_ms)
        self.announced.update(samples.modalities)
        self.last_contribution_ms = record.log_ms
        self.source_received_at_ms = max(self.source_received_at_ms, samples.received_at_ms)
        if samples.utc_offset_min is not None:
            self.utc_offset_min = samples.utc_offset_min
        self.traceparent = record.traceparent or self.traceparent

    def is_complete(self) -> bool:
        """Whether all that the uploads announced has arrived: rule (a) of architecture.md, section 4.

        It needs complete uploads, not only spans: at 1 Hz a dropout of 2.5 s is allowed, so with spans alone the order
        of the topics would decide whether the window closes before or after an upload's heart rate. The window waits
        for a heart rate with pauses only if nothing else is announced.
        """
        if self.pending_uploads:
            return False
        announced = [MODALITY_BY_NAME[name] for name in self.announced]
        continuous = [modality for modality in announced if modality.is_continuous]
        return all(self._spans_cover(modality.name) for modality in continuous or announced)

    def _spans_cover(self, name: str) -> bool:
        spans = self.spans.get(name)
        return spans is not None and spans.cover(self.window_start_ms, self.window_start_ms + WINDOW_MS)

    def close(self, closed_by: str) -> ClosedWindow:
        """Close the window with what has arrived."""
        signals = {}
        failed: dict[str, GapReason] = {}
        for modality in MODALITIES:
            signal = self._even_signal(modality)
            if signal is None:
                signal, failure = self._uneven_signal(modality)
                if failure is not None:
                    failed[modality.name] = failure
            signals[modality.name] = signal
        return ClosedWindow(
            user=self.user,
            device=self.device,
            window_start_ms=self.window_start_ms,
            hop_ms=self.hop_ms,
            closed_by=closed_by,
            signals=signals,
            announced=frozenset(self.announced),
            failed=failed,
            resting=self._resting(),
            source_received_at_ms=self.source_received_at_ms,
            utc_offset_min=self.utc_offset_min,
            traceparent=self.traceparent,
        )

    def _even_signal(self, modality: Modality) -> GridSignal | None:
        """The signal, if the records cover the whole window without a break at the grid's own rate; else None."""
        records = self.records.get(modality.name)
        if not records:
            return None
        step_ms = 1000 // modality.rate_hz
        first_ms = next_ms = records[0].t0_ms
        for record in records:
            if record.t0_ms != next_ms or record.rate_hz != modality.rate_hz:
                return None
            next_ms += record.n * step_ms
        low = -((first_ms - self.window_start_ms) // step_ms)
        if low < 0 or first_ms + (low + modality.grid_n) * step_ms > next_ms:
            return None
        first_ms += low * step_ms
        samples = np.concatenate([_sliced(r, first_ms, modality.grid_n, step_ms) for r in records], axis=1)
        read = is_reading(modality, samples)
        if not read.all() or find_faults(modality, _GRID_MS[modality.name], samples, read):
            return None
        return even_signal(modality, first_ms - self.window_start_ms, samples)

    def _uneven_signal(self, modality: Modality) -> tuple[GridSignal, GapReason | None]:
        """The signal of all that arrived, and the reason if it does not pass."""
        name = modality.name
        is_expected = name in self.announced or modality is ACCELEROMETER
        records = self.records.get(name, ())
        if not records:
            missing = reason_of(modality, records, name in self.announced, _NONE, _NONE)
            return empty_signal(modality), missing if is_expected else None
        parts = list(self._parts(modality))
        t_ms = np.concatenate([part[0] for part in parts])
        samples = np.concatenate([part[1] for part in parts], axis=1)
        if name in self.repeated:
            self._count_repeated(modality, t_ms)
        read = is_reading(modality, samples)
        known_ms, known = _in_order(t_ms[read], samples[:, read])
        faulty = np.zeros(len(known_ms), dtype=bool)
        newest = known_ms >= self.window_start_ms + WINDOW_MS - self.hop_ms
        for fault, is_faulty in find_faults(modality, known_ms, known, ~faulty).items():
            faulty |= is_faulty
            if count := int(np.count_nonzero(is_faulty & newest)):
                self.implausible[name, fault] = count
        signal = grid_signal(modality, self.window_start_ms, known_ms[~faulty], known[:, ~faulty])
        if signal.passes or not is_expected:
            return signal, None
        return signal, reason_of(modality, records, name in self.announced, read, faulty)

    def _parts(self, modality: Modality) -> Iterator[tuple[FloatArray, NDArray[Any]]]:
        """Stamps and samples in the window, record by record; the first record of a time wins.

        Otherwise a watch whose clock steps back would have two times of day mixed in one window. An overlap of up to
        one sample interval is jitter; equal stamps are resolved when the parts are joined.
        """
        covered = Spans(0.0)
        for record in self.records.get(modality.name, ()):
            t_ms, samples = self._inside(record)
            if covered.meet(record.t0_ms, record.end_ms):
                self.repeated[modality.name] = 0
                new = ~covered.retain(t_ms)
                t_ms, samples = t_ms[new], samples[:, new]
            last_ms = record.end_ms - 1000.0 / record.rate_hz
            if last_ms > record.t0_ms:
                covered.add(record.t0_ms, last_ms)
            yield t_ms, samples

    def _count_repeated(self, modality: Modality, kept_ms: FloatArray) -> None:
        """Count repeated samples of the newest hop, which is in no other window, so that each counts once."""
        newest_ms = self.window_start_ms + WINDOW_MS - self.hop_ms
        came = sum(np.count_nonzero(self._inside(record)[0] >= newest_ms) for record in self.records[modality.name])
        self.repeated[modality.name] = int(came - np.count_nonzero(np.unique(kept_ms) >= newest_ms))

    def _inside(self, record: SampleRecord) -> tuple[FloatArray, NDArray[Any]]:
        """Stamps and samples of one record in the window; the cost depends only on their number."""
        step_ms = 1000.0 / record.rate_hz
        # One more sample at both ends: the division and the stamps round differently.
        first = max(0, int((self.window_start_ms - record.t0_ms) / step_ms) - 1)
        last = min(record.n, max(0, int((self.window_start_ms + WINDOW_MS - record.t0_ms) / step_ms) + 2))
        t_ms: FloatArray = record.t0_ms + np.arange(first, last, dtype=np.float64) * step_ms
        low, high = np.searchsorted(t_ms, (self.window_start_ms, self.window_start_ms + WINDOW_MS))
        return t_ms[low:high], record.samples[:, first + low : first + high]

    def _resting(self) -> NDArray[np.bool_]:
        """(20,) bool: True where the wearer labelled rest."""
        resting = np.zeros(HEART_RATE.grid_n, dtype=bool)
        for record in self.records.get("heart_rate", ()):
            if record.context is not None and record.context.get("activity") == RESTING:
                second = np.floor((self._inside(record)[0] - self.window_start_ms) / 1000.0).astype(np.int64)
                resting[second] = True
        return resting


_NONE = np.zeros(0, dtype=bool)
_GRID_MS: dict[str, FloatArray] = {
    modality.name: np.arange(modality.grid_n, dtype=np.float64) * (1000.0 / modality.rate_hz) for modality in MODALITIES
}


def _in_order(t_ms: FloatArray, samples: NDArray[Any]) -> tuple[FloatArray, NDArray[Any]]:
    """Sort by time; the first of equal stamps wins, so that a repeated upload is not its own neighbour."""
    if not np.any(t_ms[1:] <= t_ms[:-1]):
        return t_ms, samples
    # np.unique keeps the first of equal stamps.
    t_ms, first = np.unique(t_ms, return_index=True)
    return t_ms, samples[:, first]


def _sliced(record: SampleRecord, first_ms: int, n: int, step_ms: int) -> NDArray[Any]:
    """Samples of a record at the grid's own rate, among the ``n`` from ``first_ms``."""
    low = (first_ms - record.t0_ms) // step_ms
    return record.samples[:, max(0, low) : max(0, low + n)]
