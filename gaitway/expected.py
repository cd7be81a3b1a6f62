"""The windows that a replayed recording must yield, computed from the contract alone.

The demo and the tests compare the pipeline with it, so it shares no code with the pipeline: standard library and numpy
only. It has three rules: how a replayed watch samples (a dropout splits the signal, an uneven part is resampled to 25
Hz), where a user's windows start, and when a window's accelerometer passes (coverage at least 0.9, no dropout over 1
s).
"""

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Stamps = NDArray[np.float64]

WINDOW_MS = 20_000
GRID_MS = 40
"""25 Hz: 500 grid points a window."""
NEIGHBOUR_MS = 250
"""A longer distance between two samples splits the signal."""
MIN_COVERAGE = 0.9
MAX_DROPOUT_MS = 1_000

_EVEN_MS = 0.5
_WHOLE_RATE_HZ = 1e-3
_RATE_HZ = (10, 200)


def expected_windows(folder: Path, *, user: str | None = None, hop_ms: int = 10_000, shift_ms: int = 0) -> list[int]:
    """Starts (ms since the Unix epoch, ascending) of the windows that a recording must yield when a watch replays it.

    ``folder``: a recording in the generic format, of which only ``accelerometer.csv[.gz]`` (t_ms,x,y,z) is read.
    ``user``: whose watch it is; None: of a pipeline with GAITWAY_PHASE_PER_USER=false. ``shift_ms`` is added to every
    time, as the replay does.

    Raises:
        FileNotFoundError: the folder has no accelerometer file.
        ValueError: a row is not four numbers.
    """
    sent_ms = sent_stamps(read_stamps(folder)) + shift_ms
    if not len(sent_ms):
        return []
    begin_ms = 0 if user is None else phase_ms(user, hop_ms)
    first = int((sent_ms[0] - begin_ms - WINDOW_MS) // hop_ms)
    last = int((sent_ms[-1] - begin_ms) // hop_ms)
    starts = (begin_ms + slot * hop_ms for slot in range(first, last + 1))
    return [start for start in starts if passes(sent_ms, start)]


def phase_ms(user: str, hop_ms: int) -> int:
    """Where in each hop the windows of a user start: whole seconds."""
    return int(hashlib.sha256(user.encode()).hexdigest()[:16], 16) % (hop_ms // 1000) * 1000


def read_stamps(folder: Path) -> Stamps:
    """Sample times (n,) of a recording's accelerometer, ascending, each once; errors as :func:`expected_windows`.

    Samples that are 0 on all three axes are filled in by an app and count as missing.
    """
    plain, packed = folder / "accelerometer.csv", folder / "accelerometer.csv.gz"
    with plain.open() if plain.exists() else gzip.open(packed, "rt") as file:
        rows = np.loadtxt(file, delimiter=",", skiprows=1, ndmin=2, usecols=range(4))
    return np.unique(rows[np.rint(rows[:, 1:]).any(axis=1), 0])


def sent_stamps(t_ms: Stamps) -> Stamps:
    """Times of the samples that a watch sends for this recording: (n,) recorded to (m,) sent."""
    pieces = np.split(t_ms, np.flatnonzero(np.diff(t_ms) > NEIGHBOUR_MS) + 1)
    # A single sample has no rate, so no upload can carry it.
    return np.concatenate([np.empty(0), *_sent_pieces(piece for piece in pieces if len(piece) > 1)])


def passes(t_ms: Stamps, start_ms: int) -> bool:
    """Whether the samples at ``t_ms`` (ascending) cover the window that starts at ``start_ms``."""
    begin, end = np.searchsorted(t_ms, [start_ms, start_ms + WINDOW_MS])
    inside = t_ms[begin:end]
    if not len(inside):
        return False
    dropouts_ms = np.diff(inside, prepend=start_ms, append=start_ms + WINDOW_MS)
    return bool(dropouts_ms.max() <= MAX_DROPOUT_MS and _coverage(inside, start_ms) >= MIN_COVERAGE)


def _sent_pieces(pieces: Iterator[Stamps]) -> Iterator[Stamps]:
    for t_ms in pieces:
        rate_hz = 1000 * (len(t_ms) - 1) / (t_ms[-1] - t_ms[0])
        if abs(rate_hz - round(rate_hz)) < _WHOLE_RATE_HZ:
            rate_hz = round(rate_hz)
        even_ms = t_ms[0] + np.arange(len(t_ms)) * (1000 / rate_hz)
        is_even = np.abs(even_ms - t_ms).max() < _EVEN_MS
        if is_even and t_ms[0] % 1 == 0 and _RATE_HZ[0] <= rate_hz <= _RATE_HZ[1]:
            yield even_ms
        else:
            yield GRID_MS * np.arange(np.ceil(t_ms[0] / GRID_MS), np.floor(t_ms[-1] / GRID_MS) + 1)


def _coverage(inside_ms: Stamps, start_ms: int) -> float:
    """Share of the window's grid points whose neighbours are close enough; at an edge only one neighbour counts."""
    grid_ms = np.arange(start_ms, start_ms + WINDOW_MS, GRID_MS)
    before = np.searchsorted(inside_ms, grid_ms, side="right") - 1
    after = np.searchsorted(inside_ms, grid_ms, side="left")
    # The grid point replaces a missing neighbour; on a sample the distance is 0.
    before_ms = np.where(before >= 0, inside_ms[np.maximum(before, 0)], grid_ms)
    after_ms = np.where(after < len(inside_ms), inside_ms[np.minimum(after, len(inside_ms) - 1)], grid_ms)
    return float(np.mean(after_ms - before_ms <= NEIGHBOUR_MS))
