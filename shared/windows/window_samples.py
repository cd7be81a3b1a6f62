"""The samples of closed windows, and their resampling to the grid: many windows in one array operation."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.contracts.gap import GapReason
from shared.contracts.labels import RESTING
from shared.contracts.modality import ACCELEROMETER, HEART_RATE, MODALITIES, WINDOW_MS, Modality
from shared.contracts.samples import SampleRecord
from shared.signal.plausibility import Fault, are_plausible, find_faults
from shared.signal.resample import (
    FloatArray,
    GridSignal,
    are_readings,
    empty_signal,
    even_signals,
    grid_signal,
    is_reading,
)
from shared.windows.closed_window import ClosedWindow
from shared.windows.gap_reason import reason_of
from shared.windows.retention import Position
from shared.windows.spans import Spans


class WindowSamples(msgspec.Struct, frozen=True, eq=False):
    """A closed window as the log has it: the records with samples in it, by modality in the order of the log.

    ``first``: per topic, the oldest record of the uploads that it consists of.
    """

    user: str
    device: str
    window_start_ms: int
    hop_ms: int
    closed_by: str
    records: dict[str, list[SampleRecord]]
    announced: frozenset[str]
    source_received_at_ms: int
    utc_offset_min: int | None
    traceparent: str | None
    first: list[Position | None]


class Resampled(msgspec.Struct, frozen=True, eq=False):
    """One window on its grid. ``repeated``: by modality, samples of its newest hop whose time was already covered.

    ``implausible``: by modality and fault, faulty samples of its newest hop.
    """

    window: ClosedWindow
    repeated: dict[str, int]
    implausible: dict[tuple[str, Fault], int]


def resample(windows: Sequence[WindowSamples]) -> list[Resampled]:
    """Put windows on their grids: those whose records follow each other evenly together, any others one by one."""
    even = {modality.name: _even_signals(modality, windows) for modality in MODALITIES}
    return [
        _resampled(window, {name: signals[index] for name, signals in even.items()})
        for index, window in enumerate(windows)
    ]


def _resampled(window: WindowSamples, even: dict[str, GridSignal | None]) -> Resampled:
    uneven = _Uneven(window)
    signals: dict[str, GridSignal] = {}
    failed: dict[str, GapReason] = {}
    for modality in MODALITIES:
        signal = even[modality.name]
        if signal is None:
            signal, failure = uneven.signal(modality)
            if failure is not None:
                failed[modality.name] = failure
        signals[modality.name] = signal
    closed = ClosedWindow(
        window.user,
        window.device,
        window.window_start_ms,
        window.hop_ms,
        window.closed_by,
        signals,
        window.announced,
        failed,
        _resting(window),
        window.source_received_at_ms,
        window.utc_offset_min,
        window.traceparent,
    )
    return Resampled(closed, uneven.repeated, uneven.implausible)


def _even_signals(modality: Modality, windows: Sequence[WindowSamples]) -> list[GridSignal | None]:
    """The signals of the windows that records cover without a break at the grid's own rate; None for the others."""
    signals: list[GridSignal | None] = [None] * len(windows)
    indices: list[int] = []
    offsets_ms: list[int] = []
    samples = np.empty((len(windows), modality.channels, modality.grid_n), dtype=modality.dtype)
    for index, window in enumerate(windows):
        offset_ms = _copy_even(modality, window, samples[len(indices)])
        if offset_ms is not None:
            indices.append(index)
            offsets_ms.append(offset_ms)
    if not indices:
        return signals
    samples = samples[: len(indices)]
    usable = np.asarray(are_readings(modality, samples).all(axis=1))
    # Nearly all windows are plausible at a glance; the others are looked at one by one.
    for at in np.flatnonzero(usable & ~are_plausible(modality, samples)):
        usable[at] = not find_faults(modality, _GRID_MS[modality.name], samples[at], _ALL_READ[modality.name])
    even = even_signals(modality, np.array(offsets_ms), samples)
    for index, signal, is_usable in zip(indices, even, usable, strict=True):
        if is_usable:
            signals[index] = signal
    return signals


def _copy_even(modality: Modality, window: WindowSamples, to: NDArray[Any]) -> int | None:
    """Copy the samples of a window if its records follow each other at the grid's own rate.

    Returns the time of the first sample in the window, in ms, or None.
    """
    records = window.records.get(modality.name)
    if not records:
        return None
    rate_hz, grid_n = modality.rate_hz, modality.grid_n
    step_ms = 1000 // rate_hz
    first_ms = next_ms = records[0].t0_ms
    skipped = (window.window_start_ms - first_ms + step_ms - 1) // step_ms
    at = -skipped
    parts = []
    for record in records:
        if record.t0_ms != next_ms or record.rate_hz != rate_hz:
            return None
        part, n = record.samples, record.n
        if at < 0 or at + n > grid_n:
            part = part[:, max(-at, 0) : max(grid_n - at, 0)]
        parts.append(part)
        next_ms += n * step_ms
        at += n
    if skipped < 0 or at < grid_n:
        return None
    np.concatenate(parts, axis=1, out=to)
    return first_ms + skipped * step_ms - window.window_start_ms


class _Uneven:
    """One window whose samples do not follow each other evenly, and what is counted on the way."""

    def __init__(self, window: WindowSamples) -> None:
        self.repeated: dict[str, int] = {}
        self.implausible: dict[tuple[str, Fault], int] = {}
        self._window = window

    def signal(self, modality: Modality) -> tuple[GridSignal, GapReason | None]:
        """The signal of all that arrived, and the reason if it does not pass."""
        window, name = self._window, modality.name
        is_expected = name in window.announced or modality is ACCELEROMETER
        records = window.records.get(name, ())
        if not records:
            missing = reason_of(modality, records, name in window.announced, _NONE, _NONE)
            return empty_signal(modality), missing if is_expected else None
        parts = list(self._parts(modality, records))
        t_ms = np.concatenate([part[0] for part in parts])
        samples = np.concatenate([part[1] for part in parts], axis=1)
        newest_ms = window.window_start_ms + WINDOW_MS - window.hop_ms
        if name in self.repeated:
            self.repeated[name] = self._count_repeated(records, t_ms, newest_ms)
        read = is_reading(modality, samples)
        known_ms, known = _in_order(t_ms[read], samples[:, read])
        faulty = np.zeros(len(known_ms), dtype=bool)
        newest = known_ms >= newest_ms
        for fault, is_faulty in find_faults(modality, known_ms, known, ~faulty).items():
            faulty |= is_faulty
            if count := int(np.count_nonzero(is_faulty & newest)):
                self.implausible[name, fault] = count
        signal = grid_signal(modality, window.window_start_ms, known_ms[~faulty], known[:, ~faulty])
        if signal.passes or not is_expected:
            return signal, None
        return signal, reason_of(modality, records, name in window.announced, read, faulty)

    def _parts(self, modality: Modality, records: Sequence[SampleRecord]) -> Iterator[tuple[FloatArray, NDArray[Any]]]:
        """Stamps and samples in the window, record by record; the first record of a time wins.

        Otherwise a watch whose clock steps back would have two times of day mixed in one window. An overlap of up to
        one sample interval is jitter; equal stamps are resolved when the parts are joined.
        """
        covered = Spans(0.0)
        for record in records:
            t_ms, samples = _inside(record, self._window.window_start_ms)
            if covered.meet(record.t0_ms, record.end_ms):
                self.repeated[modality.name] = 0
                new = ~covered.retain(t_ms)
                t_ms, samples = t_ms[new], samples[:, new]
            last_ms = record.end_ms - 1000.0 / record.rate_hz
            if last_ms > record.t0_ms:
                covered.add(record.t0_ms, last_ms)
            yield t_ms, samples

    def _count_repeated(self, records: Sequence[SampleRecord], kept_ms: FloatArray, newest_ms: int) -> int:
        """Count repeated samples of the newest hop, which is in no other window, so that each counts once."""
        start_ms = self._window.window_start_ms
        came = sum(np.count_nonzero(_inside(record, start_ms)[0] >= newest_ms) for record in records)
        return int(came - np.count_nonzero(np.unique(kept_ms) >= newest_ms))


def _inside(record: SampleRecord, window_start_ms: int) -> tuple[FloatArray, NDArray[Any]]:
    """Stamps and samples of one record in the window; the cost depends only on their number."""
    step_ms = 1000.0 / record.rate_hz
    # One more sample at both ends: the division and the stamps round differently.
    first = max(0, int((window_start_ms - record.t0_ms) / step_ms) - 1)
    last = min(record.n, max(0, int((window_start_ms + WINDOW_MS - record.t0_ms) / step_ms) + 2))
    t_ms: FloatArray = record.t0_ms + np.arange(first, last, dtype=np.float64) * step_ms
    low, high = np.searchsorted(t_ms, (window_start_ms, window_start_ms + WINDOW_MS))
    return t_ms[low:high], record.samples[:, first + low : first + high]


def _resting(window: WindowSamples) -> NDArray[np.bool_]:
    """(20,) bool: True where the wearer labelled rest."""
    resting = _NEVER
    for record in window.records.get(HEART_RATE.name, ()):
        if record.context is not None and record.context.get("activity") == RESTING:
            if resting is _NEVER:
                resting = np.zeros_like(_NEVER)
            second = (_inside(record, window.window_start_ms)[0] - window.window_start_ms) / 1000.0
            resting[np.floor(second).astype(np.int64)] = True
    return resting


_NONE = np.zeros(0, dtype=bool)
_NEVER = np.zeros(HEART_RATE.grid_n, dtype=bool)
_NEVER.setflags(write=False)
_ALL_READ = {modality.name: np.ones(modality.grid_n, dtype=bool) for modality in MODALITIES}
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
