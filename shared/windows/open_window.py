"""One window that still waits for data, and the uploads that bring it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.labels import RESTING
from shared.modality import BY_NAME, HEART_RATE, MODALITIES, WINDOW_MS, Modality
from shared.records.gap import Gap, GapReason
from shared.records.samples import SampleRecord
from shared.signal.baseline import Hop
from shared.signal.resample import FloatArray, GridSignal, even_signal, grid_signal, is_reading, masked_signal
from shared.windows.gap_reason import reason_of
from shared.windows.merge import LogRecord


@dataclass(frozen=True, slots=True, eq=False)
class RawWindow:
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
        """The record that says that this modality gives the window nothing usable."""
        start = self.window_start_ms
        return Gap(self.user, self.device, name, start, start + WINDOW_MS, reason, self.signals[name].coverage)

    def without(self, names: Collection[str]) -> "RawWindow":
        """The window with these modalities masked."""
        if not names:
            return self
        masked = {name: masked_signal(signal) if name in names else signal for name, signal in self.signals.items()}
        return replace(self, signals=masked)

    def newest_hop(self) -> Hop:
        """What folding this window adds to the user's baseline."""
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
class Arrival:
    """One upload on its way through the log: its parts come one by one, each in the topic of its modality.

    ``missing``: announced, not here yet. ``starts``: the open windows that hold a part; the others cannot tell whether
    the upload is whole, so it is followed here.
    """

    session: str
    seq: int
    missing: set[str]
    starts: set[int] = field(default_factory=set)
    newest_log_ms: int = 0

    def take(self, record: LogRecord, samples: SampleRecord) -> None:
        """Note one part, or a repetition of one."""
        self.missing.discard(samples.modality.name)
        self.newest_log_ms = record.log_ms

    def is_forgotten(self, before_log_ms: int) -> bool:
        """No open window needs it, and its missing parts have had their time."""
        return not self.starts and self.newest_log_ms <= before_log_ms


@dataclass(slots=True, eq=False)
class OpenWindow:
    """The records that have a sample in [start, start + 20 s), and what they announce."""

    user: str
    device: str
    window_start_ms: int
    hop_ms: int
    records: dict[str, list[SampleRecord]] = field(default_factory=dict)
    arrivals: set[Arrival] = field(default_factory=set)
    announced: set[str] = field(default_factory=set)
    reaches_ms: dict[str, float] = field(default_factory=dict)
    """By modality, the end of the latest sample."""
    last_contribution_ms: int = 0
    source_received_at_ms: int = 0
    utc_offset_min: int | None = None
    traceparent: str | None = None
    repeated: dict[str, int] = field(default_factory=dict)
    """By modality, once closed: samples of its newest hop whose time was there already."""

    def add(self, record: LogRecord, samples: SampleRecord, arrival: Arrival) -> None:
        """Take one record in, a part of ``arrival``."""
        self.arrivals.add(arrival)
        arrival.starts.add(self.window_start_ms)
        name, end_ms = samples.modality.name, samples.end_ms
        self.records.setdefault(name, []).append(samples)
        self.reaches_ms[name] = max(self.reaches_ms.get(name, end_ms), end_ms)
        self.announced.update(samples.modalities)
        self.last_contribution_ms = record.log_ms
        self.source_received_at_ms = max(self.source_received_at_ms, samples.received_at_ms)
        if samples.utc_offset_min is not None:
            self.utc_offset_min = samples.utc_offset_min
        self.traceparent = record.traceparent or self.traceparent

    def is_complete(self) -> bool:
        """All that the uploads announced has arrived: rule (a) of architecture.md, section 4.

        Whole uploads, not only spans: a hole of 2.5 s is fine at 1 Hz, so that spans alone would close the window
        before the heart rate of an upload whose accelerometer has just come, or after it, as the topics interleave.
        """
        announced = [BY_NAME[name] for name in self.announced]
        # Most windows that are asked have not been reached yet: told at once.
        window_end_ms = self.window_start_ms + WINDOW_MS
        if any(window_end_ms - self.reaches_ms.get(each.name, 0.0) > each.max_step_ms for each in announced):
            return False
        if any(arrival.missing for arrival in self.arrivals):
            return False
        return all(self._spans_cover(modality) for modality in announced)

    def _spans_cover(self, modality: Modality) -> bool:
        covered_to = float(self.window_start_ms)
        for record in sorted(self.records.get(modality.name, ()), key=lambda r: r.t0_ms):
            if record.t0_ms - covered_to > modality.max_step_ms:
                return False
            covered_to = max(covered_to, record.end_ms)
        return self.window_start_ms + WINDOW_MS - covered_to <= modality.max_step_ms

    def close(self, closed_by: str) -> RawWindow:
        """The window as it stands."""
        signals = {m.name: self._signal(m) for m in MODALITIES}
        expected = self.announced | {"accelerometer"}
        return RawWindow(
            user=self.user,
            device=self.device,
            window_start_ms=self.window_start_ms,
            hop_ms=self.hop_ms,
            closed_by=closed_by,
            signals=signals,
            announced=frozenset(self.announced),
            failed={
                name: reason_of(BY_NAME[name], self.records, self.announced)
                for name, signal in signals.items()
                if name in expected and not signal.passes
            },
            resting=self._resting(),
            source_received_at_ms=self.source_received_at_ms,
            utc_offset_min=self.utc_offset_min,
            traceparent=self.traceparent,
        )

    def _signal(self, modality: Modality) -> GridSignal:
        return self._even_signal(modality) or self._uneven_signal(modality)

    def _even_signal(self, modality: Modality) -> GridSignal | None:
        """The signal where one record follows another at the grid's own rate over the whole window, else None."""
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
        samples = np.concatenate([r.samples for r in records], axis=1)[:, low : low + modality.grid_n]
        if not is_reading(modality, samples).all():
            return None
        return even_signal(modality, first_ms + low * step_ms - self.window_start_ms, samples)

    def _uneven_signal(self, modality: Modality) -> GridSignal:
        parts = list(self._parts(modality))
        if not parts:
            return grid_signal(modality, self.window_start_ms, np.empty(0), np.empty((modality.channels, 0)))
        t_ms, samples = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts], axis=1)
        if modality.name in self.repeated:
            self._count_repeated(modality, t_ms)
        read = is_reading(modality, samples)
        if not read.all():
            t_ms, samples = t_ms[read], samples[:, read]
        return grid_signal(modality, self.window_start_ms, t_ms, samples)

    def _parts(self, modality: Modality) -> Iterator[tuple[FloatArray, NDArray[Any]]]:
        """Stamps and samples in the window, record by record: a time that is covered already keeps its first record.

        Else a watch whose clock steps back would have two times of its day interleaved in one window. Up to one sample
        interval of overlap is jitter; equal stamps are told apart when the parts are put together.
        """
        covered: list[tuple[float, float]] = []
        for record in self.records.get(modality.name, ()):
            t_ms, samples = self._inside(record)
            for begin_ms, end_ms in covered:
                if record.t0_ms < end_ms and record.end_ms > begin_ms:
                    self.repeated[modality.name] = 0
                    new = (t_ms < begin_ms) | (t_ms >= end_ms)
                    t_ms, samples = t_ms[new], samples[:, new]
            covered.append((float(record.t0_ms), record.end_ms - 1000.0 / record.rate_hz))
            yield t_ms, samples

    def _count_repeated(self, modality: Modality, kept_ms: FloatArray) -> None:
        """Of the newest hop alone: it is that of no other window, so that each sample counts once."""
        newest_ms = self.window_start_ms + WINDOW_MS - self.hop_ms
        came = sum(np.count_nonzero(self._inside(record)[0] >= newest_ms) for record in self.records[modality.name])
        self.repeated[modality.name] = int(came - np.count_nonzero(np.unique(kept_ms) >= newest_ms))

    def _inside(self, record: SampleRecord) -> tuple[FloatArray, NDArray[Any]]:
        """Stamps and samples of one record that lie in the window."""
        t_ms: FloatArray = record.t0_ms + np.arange(record.n, dtype=np.float64) * (1000.0 / record.rate_hz)
        low, high = np.searchsorted(t_ms, (self.window_start_ms, self.window_start_ms + WINDOW_MS))
        return t_ms[low:high], record.samples[:, low:high]

    def _resting(self) -> NDArray[np.bool_]:
        """(20,) bool: the wearer called the second resting."""
        resting = np.zeros(HEART_RATE.grid_n, dtype=bool)
        for record in self.records.get("heart_rate", ()):
            if record.context is not None and record.context.get("activity") == RESTING:
                second = np.floor((self._inside(record)[0] - self.window_start_ms) / 1000.0).astype(np.int64)
                resting[second] = True
        return resting
