"""Emulate a watch's step counter from its accelerometer, for data sets that have none.

For each stretch without a dropout: the magnitude on a 25 Hz grid is band-passed to 1-3 Hz, the step rate. (The arm
swings once per two steps; a band from 0.5 Hz would count the swings of a slow walk.) Then one step is counted per peak
that
- is at least 0.25 s from a higher one (nobody steps faster than 4 Hz),
- reaches an adaptive threshold: 0.3 of the signal's root mean square over 4 s, and at least 50 mg, so that a resting
  hand counts nothing,
- belongs to a run of at least 8 peaks no more than 1.25 s apart, so that a gesture counts nothing.

The scheme is that of classic pedometers (N. Zhao, "Full-featured pedometer design realized with 3-axis digital
accelerometer", Analog Dialogue 44, 2010). The numbers were set on the people of WISDM, selfBACK and DSADS who are not
held out. Medians there: walking 1.84, 1.74, 1.62 steps/s, running 2.6, sitting and standing 0 (mean 0.03 at most),
exercise bike 0. As real watches do, it misses slow steps with a still arm and counts a bouncing leg.
tests/training/test_pedometer.py checks the held-out people.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, find_peaks, sosfiltfilt

from training.datasets.recording import Recording

STEPS_NOTE = "emulated from the accelerometer (training/pedometer.py)"

RATE_HZ = 25.0
BAND_HZ = (1.0, 3.0)
DROPOUT_MS = 1_000.0
"""A longer distance between two samples ends a stretch: the filter must not ring across a dropout."""
MIN_STRETCH_S = 4.0
RELATIVE_THRESHOLD = 0.3
MIN_PEAK_MG = 50.0
MIN_INTERVAL_S = 0.25
MAX_INTERVAL_S = 1.25
MIN_RUN = 8

_SOS = butter(2, BAND_HZ, btype="bandpass", fs=RATE_HZ, output="sos")

Floats = NDArray[np.float64]


def with_steps(recording: Recording) -> Recording:
    """The recording itself if it has a step counter, else with an emulated one and a note about it."""
    if len(recording.steps_t_ms):
        return recording
    t_ms, total = emulate_steps(recording.accelerometer_t_ms, recording.accelerometer_mg)
    return replace(recording, steps_t_ms=t_ms, steps_total=total, notes=recording.notes | {"steps": STEPS_NOTE})


def emulate_steps(t_ms: Floats, accelerometer_mg: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Count steps. ``t_ms``: (n,) ascending; ``accelerometer_mg``: (n, 3), any rate from about 10 Hz.

    Returns (t_ms, total): once a second where there are samples, the steps since the start as float64 ms and int64.
    """
    if not len(t_ms):
        return np.empty(0), np.empty(0, dtype=np.int64)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(t_ms) > DROPOUT_MS) + 1, [len(t_ms)]])
    magnitude_mg = np.linalg.norm(accelerometer_mg, axis=1)
    steps_ms, seconds_ms = [], []
    for start, end in pairwise(edges):
        stretch_ms = t_ms[start:end]
        seconds_ms.append(np.arange(stretch_ms[0], stretch_ms[-1] + 0.5, 1000.0))
        if stretch_ms[-1] - stretch_ms[0] >= MIN_STRETCH_S * 1000:
            steps_ms.append(_find_steps(stretch_ms, magnitude_mg[start:end]))
    second_ms = np.concatenate(seconds_ms)
    step_ms = np.concatenate(steps_ms) if steps_ms else np.empty(0)
    return second_ms, np.searchsorted(step_ms, second_ms, side="right").astype(np.int64)


def _find_steps(t_ms: Floats, magnitude_mg: Floats) -> Floats:
    """Times of the steps within one stretch, ascending."""
    grid_ms = np.arange(t_ms[0], t_ms[-1], 1000.0 / RATE_HZ)
    signal_mg = sosfiltfilt(_SOS, np.interp(grid_ms, t_ms, magnitude_mg))
    mean_square = uniform_filter1d(signal_mg**2, int(4 * RATE_HZ), mode="nearest")
    threshold_mg = np.maximum(RELATIVE_THRESHOLD * np.sqrt(np.maximum(mean_square, 0.0)), MIN_PEAK_MG)
    peaks, _ = find_peaks(signal_mg, height=threshold_mg, distance=int(MIN_INTERVAL_S * RATE_HZ))
    peaks_ms = grid_ms[peaks]
    breaks = np.flatnonzero(np.diff(peaks_ms) > MAX_INTERVAL_S * 1000) + 1
    runs = np.split(peaks_ms, breaks)
    return np.concatenate([run for run in runs if len(run) >= MIN_RUN] or [np.empty(0)])
