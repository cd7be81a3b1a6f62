"""A recording as the uploads of a watch: what `gaitway replay` sends and what `predict` and training classify.

An accelerometer with an even rate keeps it; any other is resampled to the watch's 25 Hz grid, between neighbours at
most 250 ms apart. Heart rate and steps are sent once a second: the latest reading of the second, or null without one. A
counter that reports on change keeps its total for as long as the watch reports anything.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.contracts.labels import RESTING
from shared.contracts.modality import ACCELEROMETER
from shared.contracts.upload import Accelerometer, Context, HeartRate, Steps, Upload
from training.datasets.recording import Floats, Recording
from training.datasets.units import MAX_BPM, MAX_STEPS

UPLOAD_PERIOD_S = 5
SILENT_AFTER_MS = 60_000
"""A sensor without a reading for longer is off: the watch sends nothing for it, instead of nulls."""
_UNEVEN_MS = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Evenly sampled signal: ``values`` (n, ...) from ``t0_ms`` on."""

    t0_ms: float
    rate_hz: float
    values: NDArray[Any]

    @property
    def end_ms(self) -> float:
        return self.t0_ms + len(self.values) * 1000.0 / self.rate_hz


def as_name(text: str) -> str:
    """Make a valid user or device name: ``text`` itself, or its letters and a hash of the whole."""
    if re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", text):
        return text
    letters = re.sub(r"[^A-Za-z0-9._:-]+", "-", text)[:50]
    return f"{letters}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def uploads(recording: Recording, *, shift_ms: int = 0, period_s: int = UPLOAD_PERIOD_S) -> Iterator[Upload]:
    """The uploads of one recording in time order, one per period and one more after a gap within it.

    ``shift_ms`` moves all times; a multiple of 20 s keeps the window grid in place.
    """
    period_ms = period_s * 1000
    acceleration = list(_acceleration_runs(recording))
    heart = list(_heart_rate_runs(recording))
    steps = list(_steps_runs(recording, [*acceleration, *heart]))
    origin_ms = min((run.t0_ms for run in (*acceleration, *heart, *steps)), default=0.0)
    pieces: dict[int, list[list[_Run]]] = defaultdict(lambda: [[], [], []])
    for modality, runs in enumerate((acceleration, heart, steps)):
        for run in runs:
            for period, piece in _cut(run, origin_ms, period_ms):
                pieces[period][modality].append(piece)
    seq = 0
    session = f"{int(origin_ms + shift_ms) // 1000:x}"
    for period in sorted(pieces):
        parts = pieces[period]
        sent_at_ms = int(np.ceil(max(run.end_ms for runs in parts for run in runs))) + shift_ms
        for index in range(max(len(runs) for runs in parts)):
            accelerometer, heart_rate, total = (runs[index] if index < len(runs) else None for runs in parts)
            begin_ms = origin_ms + period * period_ms
            yield Upload(
                device=as_name(recording.device),
                session=session,
                seq=seq,
                sent_at_ms=sent_at_ms,
                utc_offset_min=recording.utc_offset_min,
                accelerometer=_accelerometer_part(accelerometer, shift_ms),
                heart_rate=_heart_rate_part(heart_rate, shift_ms),
                steps=_steps_part(total, shift_ms),
                context=_context(recording, begin_ms, begin_ms + period_ms),
            )
            seq += 1


def _acceleration_runs(recording: Recording) -> Iterator[_Run]:
    t_ms, mg = recording.accelerometer_t_ms, recording.accelerometer_mg
    breaks = np.flatnonzero(np.diff(t_ms) > ACCELEROMETER.max_step_ms) + 1
    for t, values in zip(np.split(t_ms, breaks), np.split(mg, breaks), strict=True):
        if len(t) < 2:
            continue
        step_ms = (t[-1] - t[0]) / (len(t) - 1)
        rate_hz = 1000.0 / step_ms
        # Rounding of the times spreads a constant rate by parts per million.
        rate_hz = float(round(rate_hz)) if abs(rate_hz - round(rate_hz)) < 1e-3 else float(rate_hz)
        low, high = ACCELEROMETER.upload_rate_hz
        even = np.abs(t - (t[0] + np.arange(len(t)) * 1000.0 / rate_hz)).max() < _UNEVEN_MS
        if even and low <= rate_hz <= high and float(t[0]).is_integer():
            yield _Run(float(t[0]), rate_hz, values)
            continue
        grid_step_ms = 1000 // ACCELEROMETER.rate_hz
        grid_ms = np.arange(np.ceil(t[0] / grid_step_ms) * grid_step_ms, t[-1] + 1e-6, grid_step_ms)
        if len(grid_ms):
            on_grid = np.stack([np.interp(grid_ms, t, axis) for axis in values.T], axis=1)
            yield _Run(float(grid_ms[0]), float(ACCELEROMETER.rate_hz), on_grid)


def _heart_rate_runs(recording: Recording) -> Iterator[_Run]:
    # A value that an upload cannot carry is no reading.
    read = (recording.heart_rate_bpm > 0) & (recording.heart_rate_bpm <= MAX_BPM)
    t_ms, bpm = recording.heart_rate_t_ms[read], recording.heart_rate_bpm[read]
    if not len(t_ms):
        return
    for t, values in _split_silent(t_ms, bpm):
        seconds_ms = np.arange(np.rint(t[0]), t[-1] + 1000.0, 1000.0)
        yield _Run(float(seconds_ms[0]), 1.0, _latest(seconds_ms, t, values, within_ms=1000.0))


def _steps_runs(recording: Recording, reporting: list[_Run]) -> Iterator[_Run]:
    counted = (recording.steps_total >= 0) & (recording.steps_total <= MAX_STEPS)
    t_ms, total = recording.steps_t_ms[counted], recording.steps_total[counted]
    if not len(t_ms) or not reporting:
        return
    begin_ms = np.ceil(max(float(np.rint(t_ms[0])), min(run.t0_ms for run in reporting)))
    # Seconds are counted per run, so a pause of months between two runs costs nothing.
    spans = [np.ceil((np.array([run.t0_ms, run.end_ms]) - begin_ms) / 1000.0) for run in reporting]
    reported = np.unique(np.concatenate([np.arange(max(first, 0.0), end) for first, end in spans]))
    seconds_ms = begin_ms + reported * 1000.0
    values = _latest(seconds_ms, t_ms, total.astype(np.float64), within_ms=np.inf)
    breaks = np.flatnonzero(np.diff(reported) > 1) + 1
    for seconds, part in zip(np.split(seconds_ms, breaks), np.split(values, breaks), strict=True):
        if len(seconds):
            yield _Run(float(seconds[0]), 1.0, part)


def _split_silent(t_ms: Floats, values: Floats) -> Iterator[tuple[Floats, Floats]]:
    breaks = np.flatnonzero(np.diff(t_ms) > SILENT_AFTER_MS) + 1
    yield from zip(np.split(t_ms, breaks), np.split(values, breaks), strict=True)


def _latest(seconds_ms: Floats, t_ms: Floats, values: Floats, *, within_ms: float) -> Floats:
    """For each second the latest reading less than ``within_ms`` old; NaN without one."""
    index = np.searchsorted(t_ms, seconds_ms + 0.5, side="right") - 1
    age_ms = np.where(index >= 0, seconds_ms - t_ms[np.maximum(index, 0)], np.inf)
    return np.where(age_ms < within_ms, values[np.maximum(index, 0)], np.nan)


def _cut(run: _Run, origin_ms: float, period_ms: int) -> Iterator[tuple[int, _Run]]:
    """Pieces of a run by upload period; a piece starts on a whole millisecond, as an upload's ``t0_ms`` does."""
    stamps_ms = run.t0_ms + np.arange(len(run.values)) * (1000.0 / run.rate_hz)
    periods = ((stamps_ms - origin_ms) // period_ms).astype(np.int64)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(periods)) + 1])
    for start, values in zip(starts, np.split(run.values, starts[1:]), strict=True):
        yield int(periods[start]), _Run(float(np.rint(stamps_ms[start])), run.rate_hz, values)


def _accelerometer_part(run: _Run | None, shift_ms: int) -> Accelerometer | None:
    if run is None:
        return None
    x, y, z = (axis.astype(np.int64).tolist() for axis in np.rint(run.values).T)
    return Accelerometer(t0_ms=int(run.t0_ms) + shift_ms, rate_hz=run.rate_hz, unit="mg", x=x, y=y, z=z)


def _heart_rate_part(run: _Run | None, shift_ms: int) -> HeartRate | None:
    if run is None:
        return None
    bpm: list[float | None] = [None if np.isnan(value) else int(value) for value in np.rint(run.values)]
    return HeartRate(t0_ms=int(run.t0_ms) + shift_ms, rate_hz=run.rate_hz, bpm=bpm)


def _steps_part(run: _Run | None, shift_ms: int) -> Steps | None:
    if run is None:
        return None
    total = [None if np.isnan(value) else int(value) for value in run.values]
    return Steps(t0_ms=int(run.t0_ms) + shift_ms, rate_hz=run.rate_hz, total=total)


def _context(recording: Recording, begin_ms: float, end_ms: float) -> Context | None:
    """The wearer's label, if it is rest: the baseline needs only that."""
    for label in recording.labels:
        if label.activity == RESTING and label.start_ms <= begin_ms and end_ms <= label.end_ms:
            return Context(activity="resting")
    return None
