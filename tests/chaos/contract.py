"""f(samples, baseline) written down a second time, from architecture.md alone: grid, coverage, features, baseline.

Standard library and numpy; nothing of the pipeline. What the chaos run holds against the events must be able to
contradict the services, so it shares no line with them.
"""

import hashlib
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Features = dict[str, NDArray[np.float32]]

WINDOW_MS = 20_000


@dataclass(frozen=True, slots=True)
class Kind:
    """One modality as section 3 and 4 of the contract describe it."""

    name: str
    step_ms: int
    neighbour_ms: float
    min_coverage: float
    max_dropout_ms: float


KINDS = (
    Kind("accelerometer", 40, 250.0, 0.9, 1_000.0),
    Kind("heart_rate", 1_000, 10_000.0, 0.5, 10_000.0),
    Kind("steps", 1_000, 2_500.0, 0.5, float(WINDOW_MS)),
)


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """One modality of one window: ``values`` (channels, grid), ``covered`` (grid,)."""

    values: Floats
    covered: NDArray[np.bool_]
    coverage: float
    passes: bool


def window_phase_ms(user: str, hop_ms: int) -> int:
    """Where in each hop the windows of a user start (section 4): SHA-256's first 8 bytes, modulo the hop's seconds."""
    number = 0
    for byte in hashlib.sha256(user.encode()).digest()[:8]:
        number = number * 256 + byte
    return number % (hop_ms // 1000) * 1000


def on_grid(kind: Kind, start_ms: int, t_ms: Floats, values: Floats) -> Signal:
    """Samples ``values`` (channels, n) at ``t_ms`` (n,), in the order of arrival, on the window's grid (section 4)."""
    inside = (t_ms >= start_ms) & (t_ms < start_ms + WINDOW_MS) & ~np.isnan(values).any(axis=0)
    # Of equal stamps the first record wins.
    t_ms, first = np.unique(t_ms[inside], return_index=True)
    values = values[:, inside][:, first]
    believed = ~implausible(kind, t_ms, values)
    t_ms, values = t_ms[believed] - start_ms, values[:, believed]
    grid_ms = np.arange(0, WINDOW_MS, kind.step_ms, dtype=np.float64)
    if not len(t_ms):
        return Signal(np.zeros((len(values), len(grid_ms))), np.zeros(len(grid_ms), dtype=bool), 0.0, False)
    on = np.isin(grid_ms, t_ms)
    # Beyond the first and the last sample the nearest one is the only neighbour: the grid point stands for the other.
    before_ms = np.where(grid_ms < t_ms[0], grid_ms, t_ms[np.searchsorted(t_ms, grid_ms, side="right") - 1])
    after_index = np.minimum(np.searchsorted(t_ms, grid_ms, side="left"), len(t_ms) - 1)
    after_ms = np.where(grid_ms > t_ms[-1], grid_ms, t_ms[after_index])
    covered = on | (after_ms - before_ms <= kind.neighbour_ms)
    coverage = float(covered.mean())
    dropout_ms = np.diff(t_ms, prepend=0.0, append=float(WINDOW_MS)).max()
    passes = bool(coverage >= kind.min_coverage and dropout_ms <= kind.max_dropout_ms)
    return Signal(np.stack([np.interp(grid_ms, t_ms, row) for row in values]), covered, coverage, passes)


def implausible(kind: Kind, t_ms: Floats, values: Floats) -> NDArray[np.bool_]:
    """What no body and no sensor on a wrist gives (section 4), of samples in the order of time: no readings."""
    found = np.zeros(len(t_ms), dtype=bool)
    if kind.name == "heart_rate":
        found = (values[0] < 25) | (values[0] > 240)
        return found | _lonely(values[0], ~found, 30)
    if kind.name == "steps":
        before: tuple[float, float] | None = None
        for i, (t, total) in enumerate(zip(t_ms, values[0], strict=True)):
            rise = 0 if before is None else total - before[1]
            seconds = 0.0 if before is None else (t - before[0]) / 1000
            found[i] = total > 6 * 86_400 or rise > max(6 * seconds, 30)
            before = before if found[i] else (t, total)
        return found
    for axis in values:
        begin = 0
        for _, run in itertools.groupby(axis):
            n = len(list(run))
            if abs(axis[begin]) >= 1_500 and t_ms[begin + n - 1] - t_ms[begin] >= 600:
                found[begin : begin + n] = True
            begin += n
        found |= _lonely(axis, np.ones(len(axis), dtype=bool), 8_000)
    return found | (np.abs(values) > 17_000).any(axis=0)


def _lonely(values: Floats, asked: NDArray[np.bool_], limit: float) -> NDArray[np.bool_]:
    """Far above or far below both neighbours; at an end, far from the nearest that is not."""
    found = np.zeros(len(values), dtype=bool)
    at = [int(i) for i in np.flatnonzero(asked)]
    if len(at) < 3:
        return found
    for left, i, right in zip(at, at[1:], at[2:], strict=False):
        rises = values[i] - values[left], values[i] - values[right]
        found[i] = min(rises) > limit or max(rises) < -limit
    for end, inner in ((at[0], at[1:-1]), (at[-1], at[-2:0:-1])):
        nearest = next((i for i in inner if not found[i]), None)
        found[end] = nearest is not None and abs(values[end] - values[nearest]) > limit
    return found


def features(
    accelerometer: Floats, heart_rate: Floats, steps: Floats, baseline_mg: Floats, baseline_bpm: Floats
) -> Features:
    """Section 5 for n windows: (n, 3, 500) mg, (n, 1, 20) bpm, (n, 1, 20) steps, (n, 3) mg, (n,) bpm.

    Rounded to float16, as in Kafka.
    """
    g = _gauss(((accelerometer - baseline_mg[:, :, None]) / 1000).astype(np.float32))
    g1 = _difference(g)
    beats = (heart_rate - baseline_bpm[:, None, None]).astype(np.float32)
    beats1 = _difference(beats)
    steps1 = np.maximum(_difference(steps), 0).astype(np.float32)
    stacked = {
        "accelerometer": (g, g1, _difference(g1)),
        "heart_rate": (beats / np.float32(220), beats1, _difference(beats1)),
        "steps": (steps1, _difference(steps1)),
    }
    limit = np.finfo(np.float16).max
    return {
        name: np.clip(np.concatenate(rows, axis=1), -limit, limit).astype(np.float16).astype(np.float32)
        for name, rows in stacked.items()
    }


def _gauss(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sigma 1, 9 taps, the signal mirrored at its ends."""
    taps = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    taps /= taps.sum()
    padded = np.concatenate([x[..., 3::-1], x, x[..., :-5:-1]], axis=-1).astype(np.float64)
    n = x.shape[-1]
    smooth = sum(taps[k] * padded[..., k : k + n] for k in range(9))
    return np.asarray(smooth, dtype=np.float32)


def _difference(x: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.concatenate([np.zeros_like(x[..., :1]), x[..., 1:] - x[..., :-1]], axis=-1)


class RunningMedian:
    """Section 6: the accelerometer's baseline from counts in bins of 16 mg, interpolated inside the bin."""

    BIN_MG = 16
    COLD_SAMPLES = 300 * 25

    def __init__(self) -> None:
        self.count = 0
        self._bins: list[dict[int, int]] = [{}, {}, {}]

    def add(self, mg: Floats) -> None:
        """Fold (3, n)."""
        self.count += mg.shape[1]
        for counts, row in zip(self._bins, np.floor(mg / self.BIN_MG).astype(int), strict=True):
            for number, n in zip(*np.unique(row, return_counts=True), strict=True):
                counts[int(number)] = counts.get(int(number), 0) + int(n)

    def copy(self) -> "RunningMedian":
        """Another one with the same counts."""
        other = RunningMedian()
        other.count, other._bins = self.count, [dict(counts) for counts in self._bins]
        return other

    @property
    def state(self) -> str:
        """What an event says of it."""
        return "cold" if self.count < self.COLD_SAMPLES else "stable"

    def medians(self) -> list[float]:
        """Per axis, in mg; something was folded."""
        return [self._median(counts) for counts in self._bins]

    def _median(self, counts: dict[int, int]) -> float:
        half, below = self.count / 2, 0
        for number in sorted(counts):
            if below + counts[number] >= half:
                return (number + (half - below) / counts[number]) * self.BIN_MG
            below += counts[number]
        raise AssertionError
