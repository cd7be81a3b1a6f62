"""A user's running baseline: median per accelerometer axis, heart rate at rest (architecture.md, section 6).

It counts in histograms, so the state is small (7 KB), exact, and independent of the order of the same updates.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.contracts.errors import InvalidRecord
from shared.contracts.modality import ACCELEROMETER, HEART_RATE
from shared.contracts.window import AccelerometerBaseline, Baseline, HeartRateBaseline
from shared.signal.wear import DeviceHistory

BIN_MG = 16
BINS = 512
"""They cover -4096 to 4095 mg. A wrist's median never leaves +-1.5 g, so values outside count in the outermost bins."""
HEART_RATE_BINS = 256

COLD_BELOW_S = 300
HALVE_ABOVE_S = 6 * 3600
STILL_FOR_S = 120
DEFAULT_BPM = 70
MIN_READINGS = 10
"""A heart rate at rest needs this many readings, so that one wrong reading cannot determine it."""

_HEADER = struct.Struct("<Bxxx")
_LAYOUT_VERSION = 3
_HEADER_BYTES = {1: 16, 2: 40, 3: 4}
"""Versions 1 and 2 are still read; they also held the data that is now kept by device (shared/signal/wear.py)."""
_COUNTS_BYTES = 3 * BINS * 4 + 2 * HEART_RATE_BINS * 2


class HopStatistics(NamedTuple):
    """Statistics of a hop for an update; ``counts``: (3, BINS) covered samples per bin.

    ``sd_mg``: the largest standard deviation of an axis. Where a sample is missing it is infinite and ``is_constant``
    False, so such a hop is neither still nor frozen. ``bpm``: the whole bpm that all readings have, or 0.
    """

    counts: NDArray[np.uint32]
    sd_mg: float
    is_constant: bool
    has_readings: bool
    bpm: int


@dataclass(slots=True, eq=False)
class Hop:
    """The newest hop of one window: the data of one update.

    ``mg``: (3, n) on the 25 Hz grid with ``mg_covered`` (n,). ``bpm``: (m,) on the 1 Hz grid with ``bpm_covered`` and
    ``resting`` (m,): True where the wearer labelled rest. ``start_ms``: of the hop, device time.
    """

    start_ms: int
    hop_ms: int
    mg: NDArray[np.float64]
    mg_covered: NDArray[np.bool_]
    bpm: NDArray[np.float64]
    bpm_covered: NDArray[np.bool_]
    resting: NDArray[np.bool_]
    _statistics: HopStatistics | None = field(default=None, init=False)

    @property
    def readings_bpm(self) -> NDArray[np.float64]:
        """(k,) heart-rate readings in this hop."""
        return self.bpm[self.bpm_covered & (self.bpm > 0)]

    @property
    def statistics(self) -> HopStatistics:
        """Statistics of this hop, computed here unless ``compute_statistics`` has done it for many hops at once."""
        if self._statistics is None:
            compute_statistics([self])
        assert self._statistics is not None
        return self._statistics


def compute_statistics(hops: Sequence[Hop]) -> None:
    """Compute the statistics of many hops of equal length with few array operations."""
    if not hops:
        return
    mg = np.stack([hop.mg for hop in hops])  # (hops, 3, n)
    covered = np.stack([hop.mg_covered for hop in hops])
    bins = np.clip(np.floor(mg / BIN_MG).astype(np.int64) + BINS // 2, 0, BINS - 1)
    bins += (np.arange(len(hops) * 3) * BINS).reshape(-1, 3, 1)
    whole: NDArray[np.bool_] = np.asarray(covered.all(axis=1))
    kept = bins.ravel() if whole.all() else bins[np.broadcast_to(covered[:, np.newaxis], bins.shape)]
    counts = np.bincount(kept, minlength=len(hops) * 3 * BINS).astype(np.uint32).reshape(-1, 3, BINS)
    sd_mg = np.where(whole, mg.std(axis=2).max(axis=1), np.inf)
    is_constant = whole & (mg.max(axis=2) == mg.min(axis=2)).all(axis=1)
    bpm = np.stack([hop.bpm for hop in hops])
    read = np.stack([hop.bpm_covered for hop in hops]) & (bpm > 0)
    has_readings = read.any(axis=1)
    low = np.rint(np.where(read, bpm, np.inf).min(axis=1))
    high = np.rint(np.where(read, bpm, 0.0).max(axis=1))
    same = np.where(low == high, high, 0.0).astype(np.int64)
    columns = [np.asarray(column).tolist() for column in (sd_mg, is_constant, has_readings, same)]
    for hop, *statistics in zip(hops, counts, *columns, strict=True):
        hop._statistics = HopStatistics(*statistics)


def _zeros(*shape: int) -> NDArray[np.uint32]:
    return np.zeros(shape, dtype=np.uint32)


@dataclass(slots=True, eq=False)
class UserBaseline:
    """``update(hop)`` adds one hop; ``get(...)`` gives the numbers that a window is computed with.

    >>> baseline = UserBaseline()
    >>> baseline.get(np.full((3, 500), 100.0)).accelerometer
    AccelerometerBaseline(state='cold', mg=(100, 100, 100))
    """

    accelerometer: NDArray[np.uint32] = field(default_factory=lambda: _zeros(3, BINS))
    resting: NDArray[np.uint32] = field(default_factory=lambda: _zeros(HEART_RATE_BINS))
    still: NDArray[np.uint32] = field(default_factory=lambda: _zeros(HEART_RATE_BINS))

    def update(self, hop: Hop, history: DeviceHistory) -> None:
        """Add one hop of a closed window; data that fail a check in the device's history are left out.

        ``history`` already contains the hop.
        """
        failed = history.failed_checks(hop.start_ms)
        if "accelerometer" not in failed:
            self.accelerometer += hop.statistics.counts
            _decay(self.accelerometer, int(self.accelerometer[0].sum()), HALVE_ABOVE_S * ACCELEROMETER.rate_hz)
        if "heart_rate" in failed:
            return
        _count(self.resting, hop.bpm[hop.bpm_covered & (hop.bpm > 0) & hop.resting])
        if history.still_s(hop.start_ms) >= STILL_FOR_S:
            _count(self.still, hop.readings_bpm)

    def get(self, window_mg: NDArray[np.float64], *, available: bool = True) -> Baseline:
        """The baseline for a window; see `get_baselines`."""
        return get_baselines([self], [window_mg], [available])[0]

    def _heart_rate(self) -> HeartRateBaseline:
        if self.resting.sum() >= MIN_READINGS:
            return HeartRateBaseline("resting", _count_median(self.resting))
        if self.still.sum() >= MIN_READINGS:
            return HeartRateBaseline("still", _count_median(self.still))
        return HeartRateBaseline("default", DEFAULT_BPM)

    def to_bytes(self) -> bytes:
        """Header, uint32 accelerometer counts, uint16 heart-rate counts, little-endian: 7,172 bytes."""
        heart = np.concatenate([self.resting, self.still]).astype("<u2")
        return _HEADER.pack(_LAYOUT_VERSION) + self.accelerometer.astype("<u4", copy=False).tobytes() + heart.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "UserBaseline":
        """Inverse of ``to_bytes``; raises InvalidRecord."""
        version = data[0] if data else 0
        begin = _HEADER_BYTES.get(version)
        if begin is None or len(data) != begin + _COUNTS_BYTES:
            raise InvalidRecord(f"a baseline of {len(data)} bytes and version {version} is none that this reader knows")
        accelerometer = np.frombuffer(data, "<u4", 3 * BINS, begin).reshape(3, BINS).astype(np.uint32)
        heart = np.frombuffer(data, "<u2", 2 * HEART_RATE_BINS, begin + 3 * BINS * 4).astype(np.uint32)
        counted = accelerometer.any(axis=1)
        if counted.any() != counted.all():
            raise InvalidRecord("a baseline in which some axes were counted and others were not")
        return cls(accelerometer, heart[:HEART_RATE_BINS], heart[HEART_RATE_BINS:])


def get_baselines(
    users: Sequence[UserBaseline], windows_mg: Sequence[NDArray[np.float64]], available: Sequence[bool]
) -> list[Baseline]:
    """The baselines of users, each for a window with these samples (3, t) in mg.

    Before a user's first update it is the window's own median, which at least is of this wrist. ``available`` False
    means that the user's state could not be read; the numbers are then those of a new user.
    """
    if not users:
        return []
    cumulative = np.stack([user.accelerometer for user in users]).cumsum(axis=2, dtype=np.int64)  # (users, 3, BINS)
    medians = np.rint(_histogram_medians(cumulative)).tolist()
    baselines = []
    for user, window_mg, is_available, count, median in zip(
        users, windows_mg, available, cumulative[:, 0, -1].tolist(), medians, strict=True
    ):
        if not count:
            median = np.rint(np.median(window_mg, axis=1)).tolist()
        x, y, z = map(int, median)
        if is_available:
            state: Literal["cold", "stable"] = "cold" if count < COLD_BELOW_S * ACCELEROMETER.rate_hz else "stable"
            baselines.append(Baseline(AccelerometerBaseline(state, (x, y, z)), user._heart_rate()))
        else:
            baselines.append(
                Baseline(AccelerometerBaseline("unavailable", (x, y, z)), HeartRateBaseline("unavailable", DEFAULT_BPM))
            )
    return baselines


def _count(histogram: NDArray[np.uint32], bpm: NDArray[np.float64]) -> None:
    if bpm.size:
        bins = np.clip(np.rint(bpm).astype(np.int64), 0, HEART_RATE_BINS - 1)
        histogram += np.bincount(bins, minlength=HEART_RATE_BINS).astype(np.uint32)
        _decay(histogram, int(histogram.sum()), HALVE_ABOVE_S * HEART_RATE.rate_hz)


def _decay(histogram: NDArray[np.uint32], total: int, above: int) -> None:
    """Halve old counts, so that the past never weighs more than six hours and changes take effect."""
    if total > above:
        histogram //= 2


def _histogram_medians(cumulative: NDArray[np.int64]) -> NDArray[np.float64]:
    """(..., BINS) counts up to each bin to (...): medians, interpolated linearly inside their bins, in mg.

    Without any count the result means nothing.
    """
    half = cumulative[..., -1:] / 2.0
    # The number of bins before the median's: those whose count is still below half.
    index = np.count_nonzero(cumulative < half, axis=-1, keepdims=True)
    below = np.where(index > 0, np.take_along_axis(cumulative, np.maximum(index - 1, 0), axis=-1), 0)
    in_bin = np.maximum(np.take_along_axis(cumulative, index, axis=-1) - below, 1)
    medians: NDArray[np.float64] = (index - BINS // 2 + (half - below) / in_bin) * BIN_MG
    return medians[..., 0]


def _count_median(counts: NDArray[np.uint32]) -> int:
    """Lower median of 1 bpm bins."""
    cumulative = np.cumsum(counts, dtype=np.int64)
    return int(np.searchsorted(cumulative, (int(cumulative[-1]) + 1) // 2))
