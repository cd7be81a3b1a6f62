"""Resampling of one window to its grid: linear interpolation, coverage, dropouts (architecture.md, section 4)."""

from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.contracts.modality import NO_READING, WINDOW_MS, Modality

FloatArray = NDArray[np.float64]


class GridSignal(msgspec.Struct, frozen=True, eq=False):
    """One modality of one window on its grid.

    ``values``: (channels, grid_n) float64, zeros where the modality does not pass. ``covered``: (grid_n,) bool, True
    where samples are close enough on both sides. ``coverage``: the share of covered grid points.
    """

    values: FloatArray
    covered: NDArray[np.bool_]
    coverage: float
    passes: bool


def grid_signal(modality: Modality, window_start_ms: int, t_ms: FloatArray, samples: NDArray[np.generic]) -> GridSignal:
    """Put the samples of one window on its grid.

    Args:
        modality: gives the grid's rate and the required coverage.
        window_start_ms: the window is [start, start + 20 s).
        t_ms: (n,) stamps inside the window, in the order of the log; the first record with a stamp wins.
        samples: (channels, n).

    Only samples inside the window count: with neighbours outside, the result would depend on what had arrived when
    the window closed. Before the first and after the last sample the nearest one is used.
    """
    n = modality.grid_n
    if t_ms.size == 0:
        return empty_signal(modality)
    if np.any(t_ms[1:] <= t_ms[:-1]):
        # np.unique keeps the first of equal stamps, which the log delivered first.
        t_ms, first = np.unique(t_ms, return_index=True)
        samples = samples[:, first]
    offsets_ms = t_ms - window_start_ms
    grid_ms = np.arange(n) * (1000.0 / modality.rate_hz)
    if offsets_ms.size == n and np.array_equal(offsets_ms, grid_ms):
        return GridSignal(samples.astype(np.float64), np.ones(n, dtype=bool), 1.0, True)
    right = np.searchsorted(offsets_ms, grid_ms, side="left")
    padded = np.concatenate(([-np.inf], offsets_ms, [np.inf]))
    before, after = padded[right], padded[right + 1]
    # At the edges one side has no sample in this window; only the distance to the nearest one counts there.
    step_ms = np.where(np.isinf(before), after - grid_ms, np.where(np.isinf(after), grid_ms - before, after - before))
    covered = (step_ms <= modality.max_step_ms) | (after == grid_ms)
    coverage = float(np.count_nonzero(covered)) / n
    edges = np.concatenate(([0.0], offsets_ms, [float(WINDOW_MS)]))
    longest_dropout_ms = float(np.max(np.diff(edges)))
    passes = coverage >= modality.min_coverage and longest_dropout_ms <= modality.max_dropout_ms
    if not passes:
        return GridSignal(np.zeros((modality.channels, n)), covered, coverage, False)
    values = np.stack([np.interp(grid_ms, offsets_ms, channel) for channel in samples.astype(np.float64)])
    return GridSignal(values, covered, coverage, True)


def even_signals(modality: Modality, offsets_ms: NDArray[np.int64], samples: NDArray[np.generic]) -> list[GridSignal]:
    """The same for windows with ``grid_n`` samples at the grid's own rate: (windows, channels, grid_n).

    ``offsets_ms``: (windows,) time of each first sample in its window, below a step of the grid. Nearly all windows of
    watches are like that. It is several times faster and equals `grid_signal` bit by bit.
    """
    values = samples.astype(np.float64)
    between = offsets_ms > 0
    if between.any():
        # Interpolated as np.interp does; the first grid point lies before the first sample and takes its value.
        step_ms = 1000.0 / modality.rate_hz
        before = values[between]
        slope = np.diff(before) / step_ms
        values[between, :, 1:] = before[..., :-1] + slope * (step_ms - offsets_ms[between])[:, np.newaxis, np.newaxis]
    covered = _all_covered(modality.grid_n)
    return [GridSignal(each, covered, 1.0, True) for each in values]


@lru_cache
def _all_covered(n: int) -> NDArray[np.bool_]:
    covered = np.ones(n, dtype=bool)
    covered.setflags(write=False)
    return covered


def is_reading(modality: Modality, samples: NDArray[np.generic]) -> NDArray[np.bool_]:
    """(channels, n) to (n,): False where the watch sent null or filled in zeros.

    Under gravity no accelerometer measures exactly 0 on all three axes; apps send that for missing samples.
    """
    return are_readings(modality, samples)


def are_readings(modality: Modality, samples: NDArray[np.generic]) -> NDArray[np.bool_]:
    """The same for many windows: (..., channels, n) to (..., n)."""
    if modality.name in NO_READING:
        return np.asarray(samples[..., 0, :] != NO_READING[modality.name])
    return np.asarray(samples.any(axis=-2))


def masked_signal(signal: GridSignal) -> GridSignal:
    """The signal that the model gets for a missing modality."""
    return GridSignal(np.zeros_like(signal.values), signal.covered, signal.coverage, False)


@lru_cache
def empty_signal(modality: Modality) -> GridSignal:
    """The signal of a modality without samples; do not write to it."""
    n = modality.grid_n
    values, covered = np.zeros((modality.channels, n)), np.zeros(n, dtype=bool)
    for array in (values, covered):
        array.setflags(write=False)
    return GridSignal(values, covered, 0.0, False)
