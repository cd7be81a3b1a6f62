"""Checks of units: that stamps are ms since the Unix epoch and acceleration is in mg, inferred from the numbers."""

import numpy as np
from numpy.typing import NDArray

from training.datasets.recording import Floats, G

EPOCH_MS = (946_684_800_000.0, 4_102_444_800_000.0)
"""2000 to 2100: the ranges of the same time in seconds, µs and ns lie far from it."""
_MS_PER = {"seconds": 1e3, "µs": 1e-3, "ns": 1e-6}

MIN_SAMPLES = 50
"""Fewer samples make no window (10 Hz for 20 s are 200) and do not show the unit."""
GRAVITY = (0.5, 3.0)
"""Limits of the median magnitude, in g. Worn watches have 0.95 to 1.06 g in 130 people of six data sets, more
when running."""
_MG_PER = {"g": 1000.0, "m/s2": 1000.0 / G}
MAX_MG = 32_767
MAX_BPM = 255
MAX_STEPS = 2**31 - 1
"""What an upload can carry (architecture.md, section 3)."""


def stamp_fault(column: str, t_ms: Floats) -> tuple[int, str] | None:
    """Index of and reason for the first stamp that is not ms since the Unix epoch; None if all are."""
    low, high = EPOCH_MS
    wrong = ~((t_ms >= low) & (t_ms < high))
    if not wrong.any():
        return None
    index = int(np.argmax(wrong))
    value = float(t_ms[index])
    text = f"{value:.0f}" if abs(value) < 1e21 else f"{value:g}"
    for unit, factor in _MS_PER.items():
        if low <= value * factor < high:
            return index, f"{column} is {text}: that looks like {unit}, not ms since the Unix epoch; {_convert(factor)}"
    return index, (
        f"{column} is {text}: no ms since the Unix epoch between 2000 and 2100 (times from the recording's start need "
        "that start added)"
    )


def unit_fault(values: NDArray[np.float64]) -> str | None:
    """Why ``values`` (n, 3) are not mg with gravity, by their median magnitude; None if they are, or if there are few.

    Samples that are 0 on all axes do not count.
    """
    measured = values[values.any(axis=1)]
    if len(measured) < MIN_SAMPLES:
        return None
    median = float(np.median(np.sqrt((measured**2).sum(axis=1))))
    low, high = GRAVITY
    if low * 1000 <= median <= high * 1000:
        return None
    found = f"x,y,z have a median magnitude of {median:.3g}"
    for unit, factor in _MG_PER.items():
        if low <= median * factor / 1000 <= high:
            return f"{found}: that looks like {unit}, not mg; {_convert(factor)}"
    return f"{found}, where gravity is 1000 mg: not mg, or gravity was taken out"


def range_fault(values: NDArray[np.float64]) -> tuple[int, str] | None:
    """Index of and reason for the first acceleration (n, 3) in mg that an upload cannot carry; None without one."""
    wrong = np.abs(np.rint(values)) > MAX_MG
    if not wrong.any():
        return None
    row, axis = (int(part) for part in np.argwhere(wrong)[0])
    return row, f"{'xyz'[axis]} is {values[row, axis]:g}, beyond 32.767 g"


def _convert(factor: float) -> str:
    return f"multiply by {factor:.6g}" if factor >= 1 else f"divide by {1 / factor:.0f}"
