"""The paper's windows: features of each whole gap-free labelled segment, then cut (architecture.md, section 5).

The live service filters each window alone; here a window's neighbours in the segment reach its first and last samples
(12 of 500), as in Mallol-Ragolta et al. 2022, section 4.1. Quantisation, grid and feature functions are those of the
live path.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from shared.contracts.labels import RESTING
from shared.contracts.modality import (
    ACCELEROMETER,
    HEART_RATE,
    MODALITIES,
    MODALITY_BY_NAME,
    MODALITY_NAMES,
    WINDOW_MS,
    Modality,
)
from shared.signal.baseline import UserBaseline
from shared.signal.features import HEART_RATE_SCALE_BPM, accelerometer_features, heart_rate_features, steps_features
from shared.signal.resample import is_reading
from training.datasets.recording import Floats, Label, Recording, in_time_order
from training.offline import HOP_MS, offline_windows, to_log

BaselineKind = Literal["transductive", "causal"]

GAP_MS = {"accelerometer": ACCELEROMETER.max_step_ms, "heart_rate": 5_000.0, "steps": 5_000.0}
"""Neighbouring readings further apart end a segment; at most so much is interpolated."""

_SECOND_MS = 1000.0


@dataclass(frozen=True, slots=True, eq=False)
class PersonWindows:
    """n windows of one person, 50 % overlapped, in the order of time.

    ``features``: per modality that the person has (n, channels, time) float16. ``activity``: (n,) str. ``alone``: (n,)
    bool, the windows that do not overlap one another: those that are tested on.
    """

    features: dict[str, NDArray[np.float16]]
    activity: NDArray[np.str_]
    alone: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    """One modality as the watch uploads it: stamps (n,) and quantised values (channels, n), readings alone."""

    t_ms: Floats
    values: NDArray[Any]

    def runs(self, modality: Modality) -> Iterator[tuple[float, float]]:
        """Spans without a gap; the last sample counts for one step of the grid."""
        if not len(self.t_ms):
            return
        breaks = np.flatnonzero(np.diff(self.t_ms) > GAP_MS[modality.name]) + 1
        for t_ms in np.split(self.t_ms, breaks):
            yield float(t_ms[0]), float(t_ms[-1]) + _SECOND_MS / modality.rate_hz

    def on_grid(self, modality: Modality, start_ms: float, seconds: int) -> Floats:
        """(channels, seconds * rate): linear between neighbours."""
        grid_ms = start_ms + np.arange(seconds * modality.rate_hz) * (_SECOND_MS / modality.rate_hz)
        return np.stack([np.interp(grid_ms, self.t_ms, channel.astype(np.float64)) for channel in self.values])


@dataclass(frozen=True, slots=True, eq=False)
class _Baselines:
    """(n, 3) mg and (n,) bpm that hold from ``start_ms`` (n,) on."""

    start_ms: Floats
    mg: Floats
    bpm: Floats

    def at(self, t_ms: Floats) -> tuple[Floats, Floats]:
        """The numbers known at each time; before the first, the first."""
        index = np.maximum(np.searchsorted(self.start_ms, t_ms, side="right") - 1, 0)
        return self.mg[index], self.bpm[index]


def person_windows(
    recordings: Sequence[Recording], activities: Sequence[str], baseline: BaselineKind
) -> PersonWindows | None:
    """The windows of one person's recordings (in the order of time) that lie in a label of ``activities``; None: none.

    A window needs every modality that the person has anywhere. "transductive": the accelerometer's baseline is the
    median per axis over all of the person's data, the heart rate's that of the resting phase where there is one.
    "causal", and a heart rate without rest: what the live service knows by then.
    """
    series = [_as_uploaded(recording) for recording in recordings]
    present = [m for m in MODALITIES if any(len(one[m.name].t_ms) for one in series)]
    if ACCELEROMETER not in present:
        return None
    baselines = _baselines(recordings, series, baseline)
    parts: list[PersonWindows] = []
    for recording, one in zip(recordings, series, strict=True):
        for label in recording.labels:
            if label.activity in activities:
                for start_ms, end_ms in _segments(one, present, label):
                    features = _cut(one, present, start_ms, end_ms, baselines)
                    n = len(features["accelerometer"])
                    parts.append(PersonWindows(features, np.full(n, label.activity), np.arange(n) % 2 == 0))
    if not parts:
        return None
    return PersonWindows(
        {m.name: np.concatenate([part.features[m.name] for part in parts]) for m in present},
        np.concatenate([part.activity for part in parts]),
        np.concatenate([part.alone for part in parts]),
    )


def _as_uploaded(recording: Recording) -> dict[str, _Series]:
    stamps: dict[str, list[Floats]] = {name: [] for name in MODALITY_NAMES}
    values: dict[str, list[NDArray[Any]]] = {name: [] for name in MODALITY_NAMES}
    for record in to_log(recording):
        samples = record.samples
        assert samples is not None  # an offline log has no ticks
        t_ms = samples.t0_ms + np.arange(samples.n, dtype=np.float64) * (_SECOND_MS / samples.rate_hz)
        read = is_reading(samples.modality, samples.samples)
        stamps[samples.modality.name].append(t_ms[read])
        values[samples.modality.name].append(samples.samples[:, read])
    series = {}
    for name in MODALITY_NAMES:
        empty = np.empty((MODALITY_BY_NAME[name].channels, 0))
        t_ms, rows = in_time_order(
            np.concatenate([np.empty(0), *stamps[name]]), np.concatenate([empty, *values[name]], axis=1).T
        )
        series[name] = _Series(t_ms, rows.T)
    return series


def _segments(series: dict[str, _Series], present: Sequence[Modality], label: Label) -> Iterator[tuple[float, float]]:
    """Spans inside the label in which no modality has a gap and at least one window fits, from whole seconds on."""
    spans = [(label.start_ms, label.end_ms)]
    for modality in present:
        runs = list(series[modality.name].runs(modality))
        spans = [(max(a, c), min(b, d)) for a, b in spans for c, d in runs if max(a, c) < min(b, d)]
    for start_ms, end_ms in spans:
        start_ms = float(np.ceil(start_ms / _SECOND_MS) * _SECOND_MS)
        if end_ms - start_ms >= WINDOW_MS:
            yield start_ms, end_ms


def _cut(
    series: dict[str, _Series], present: Sequence[Modality], start_ms: float, end_ms: float, baselines: _Baselines
) -> dict[str, NDArray[np.float16]]:
    """Features of one segment, cut into windows (n, channels, time) 10 s apart."""
    seconds = int((end_ms - start_ms) // _SECOND_MS)
    starts_ms = start_ms + np.arange(0, seconds * 1000 - WINDOW_MS + 1, HOP_MS, dtype=np.float64)
    mg, bpm = baselines.at(starts_ms)
    windows: dict[str, NDArray[np.float16]] = {}
    for modality in present:
        grid = series[modality.name].on_grid(modality, start_ms, seconds)
        features = {
            "accelerometer": lambda grid: accelerometer_features(grid, np.zeros(3)),
            "heart_rate": lambda grid: heart_rate_features(grid, np.zeros(())),
            "steps": steps_features,
        }[modality.name](grid)
        view = sliding_window_view(features, modality.grid_n, axis=-1)[:, :: HOP_MS * modality.rate_hz // 1000]
        cut = view.transpose(1, 0, 2).astype(np.float64)  # (n, channels, time)
        # The filter keeps a constant as it is: debiasing each window after it is the same as before it.
        if modality is ACCELEROMETER:
            cut[:, :3] -= mg[:, :, np.newaxis] / 1000.0
        elif modality is HEART_RATE:
            cut[:, 0] -= bpm[:, np.newaxis] / HEART_RATE_SCALE_BPM
        windows[modality.name] = cut.astype(np.float16)
    return windows


def _baselines(
    recordings: Sequence[Recording], series: Sequence[dict[str, _Series]], baseline: BaselineKind
) -> _Baselines:
    rest_bpm = np.concatenate(
        [
            one["heart_rate"].values[0, slice(*np.searchsorted(one["heart_rate"].t_ms, [label.start_ms, label.end_ms]))]
            for recording, one in zip(recordings, series, strict=True)
            for label in recording.labels
            if label.activity == RESTING
        ]
        or [np.empty(0)]
    )
    mg_all = np.concatenate([one["accelerometer"].values for one in series], axis=1)
    live = [(w.record.window_start_ms, w.record.baseline) for w in offline_windows(recordings, hop_ms=HOP_MS)]
    if not live:  # a segment can be too short for the live grid: then the live service knows nothing
        live = [(0, UserBaseline().get(mg_all))]
    live.sort(key=lambda entry: entry[0])
    start_ms = np.array([start for start, _ in live], dtype=np.float64)
    mg = np.array([known.accelerometer.mg for _, known in live], dtype=np.float64)
    bpm = np.array([known.heart_rate.bpm for _, known in live], dtype=np.float64)
    if baseline == "transductive":
        mg = np.broadcast_to(np.median(mg_all, axis=1), mg.shape)
        if len(rest_bpm):
            bpm = np.full_like(bpm, np.median(rest_bpm))
    return _Baselines(start_ms, mg, bpm)
