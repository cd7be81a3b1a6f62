"""Checks for samples that no body or sensor can give, one per modality, for the live stream, `predict` and training.

A sample that fails counts as missing, as if the watch had sent null. Watches do send such values: 255 and 254 bpm mean
"none" in FIT files and on bands, 65535 and 2^31 mean "no count", and a saturated axis stays at the end of its range.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shared.contracts.modality import Modality

Fault = Literal["range", "spike", "jump", "stuck"]
"""range: beyond the range of a body or a wrist-worn sensor. spike: far from the samples on both sides. jump: more steps
than anybody can walk. stuck: an axis keeps a value that no arm can hold."""

FAULTS: dict[str, tuple[Fault, ...]] = {
    "accelerometer": ("range", "spike", "stuck"),
    "heart_rate": ("range", "spike"),
    "steps": ("range", "jump"),
}

MIN_BPM, MAX_BPM = 25, 240
"""The lowest resting rate of a healthy adult on record is 26 (Guinness World Records, 2014). 240 is 9 % above the
textbook's highest (220 minus age) and the upper end of the range that Polar states for its sensors."""
MAX_SPIKE_BPM = 30
"""Of 564,000 readings (Empatica E4 in three data sets, Garmin) one is further from both its neighbours, by 31 bpm."""

MAX_STEPS_PER_S = 6
"""Usain Bolt's 100 m world record took 41 steps in 9.58 s, 4.3 a second; short steps on the spot reach about 6."""
MAX_STEPS_AT_ONCE = 30
"""Counters report late: Android allows its step counter 10 s, which is 30 steps of a run; a pedometer waits for about
ten steps before it counts a walk. The Garmin log has 22 at once."""
MAX_STEPS_A_DAY = MAX_STEPS_PER_S * 86_400

MAX_MG = 17_000
"""Accelerometers of watches measure up to +-16 g; the rest is tolerance of the scale."""
MAX_SPIKE_MG = 8_000
"""In the data sets used here no sample is further from both its neighbours than 4.7 g (WISDM, selfBACK, DSADS)."""
STUCK_ABOVE_MG = 1_500
STUCK_S = 0.6
"""Only gravity accelerates a wrist steadily: beyond 1.5 g no axis keeps a value for as long as a swing of the arm."""


def find_faults(
    modality: Modality, t_ms: NDArray[np.float64], samples: NDArray[Any], read: NDArray[np.bool_]
) -> dict[Fault, NDArray[np.bool_]]:
    """Find the implausible samples, by fault; empty if there are none, as nearly always.

    Args:
        modality: selects the check.
        t_ms: (n,) stamps, not descending.
        samples: (channels, n) in the modality's wire dtype.
        read: (n,) False where the watch sent no reading, which is never a fault.
    """
    if modality.name == "accelerometer":
        found = _accelerometer_faults(t_ms, samples)
    elif modality.name == "heart_rate":
        found = _heart_rate_faults(samples[0], read)
    else:
        found = _steps_faults(t_ms, samples[0], read)
    if not found:
        return {}
    faults = {fault: np.asarray(is_faulty & read) for fault, is_faulty in found.items()}
    return {fault: is_faulty for fault, is_faulty in faults.items() if is_faulty.any()}


def are_plausible(modality: Modality, samples: NDArray[Any]) -> NDArray[np.bool_]:
    """(windows, channels, n) of samples that all are readings to (windows,): True where `find_faults` finds nothing.

    False asks for `find_faults`, which looks at single samples.
    """
    # Copied to int64, because differences and absolute values of the extremes overflow the wire types.
    high, low = (extreme.astype(np.int64) for extreme in (samples.max(axis=(1, 2)), samples.min(axis=(1, 2))))
    if modality.name == "heart_rate":
        return np.asarray((low >= MIN_BPM) & (high <= MAX_BPM) & (high - low <= MAX_SPIKE_BPM))
    if modality.name == "steps":
        return np.asarray((high <= MAX_STEPS_A_DAY) & (high - low <= MAX_STEPS_AT_ONCE))
    plausible = (high < STUCK_ABOVE_MG) & (low > -STUCK_ABOVE_MG)
    strong = np.flatnonzero(~plausible & (high <= MAX_MG) & (low >= -MAX_MG) & (high - low <= MAX_SPIKE_MG))
    plausible[strong] = ~_is_stuck(samples[strong]).any(axis=(1, 2))
    return np.asarray(plausible)


def _is_stuck(mg: NDArray[Any]) -> NDArray[np.bool_]:
    """(..., n) to (..., n - 1): True where a sample beyond 1.5 g equals the one before."""
    return np.asarray(
        (mg[..., 1:] == mg[..., :-1]) & ((mg[..., 1:] >= STUCK_ABOVE_MG) | (mg[..., 1:] <= -STUCK_ABOVE_MG))
    )


def _heart_rate_faults(bpm: NDArray[Any], read: NDArray[np.bool_]) -> dict[Fault, NDArray[np.bool_]]:
    known = bpm[read]
    low, high = int(known.min(initial=MAX_BPM)), int(known.max(initial=MIN_BPM))
    if low >= MIN_BPM and high <= MAX_BPM and high - low <= MAX_SPIKE_BPM:
        return {}
    beyond = (bpm < MIN_BPM) | (bpm > MAX_BPM)
    return {"range": beyond, "spike": _find_spikes(bpm.astype(np.float64), read & ~beyond, MAX_SPIKE_BPM)}


def _find_spikes(values: NDArray[np.float64], read: NDArray[np.bool_], limit: float) -> NDArray[np.bool_]:
    """(n,) True where one value is further than ``limit`` from its neighbours, on the same side of both.

    The first and the last sample have one neighbour: the nearest sample that is not a spike.
    """
    spikes = np.zeros(len(values), dtype=bool)
    at = np.flatnonzero(read)
    known = values[at]
    if len(known) < 3 or np.ptp(known) <= limit:
        return spikes
    before, after = known[1:-1] - known[:-2], known[1:-1] - known[2:]
    inside = (np.minimum(before, after) > limit) | (np.maximum(before, after) < -limit)
    spikes[at[1:-1]] = inside
    for edge, others in ((0, np.flatnonzero(~inside) + 1), (-1, np.flatnonzero(~inside)[::-1] + 1)):
        spikes[at[edge]] = len(others) > 0 and abs(known[edge] - known[others[0]]) > limit
    return spikes


def _accelerometer_faults(t_ms: NDArray[np.float64], mg: NDArray[Any]) -> dict[Fault, NDArray[np.bool_]]:
    # The absolute value of -32768 does not fit into int16.
    high, low = mg.max(initial=0), mg.min(initial=0)
    if high < STUCK_ABOVE_MG and low > -STUCK_ABOVE_MG:
        return {}
    found: dict[Fault, NDArray[np.bool_]] = {}
    if high > MAX_MG or low < -MAX_MG:
        found["range"] = np.asarray(((mg > MAX_MG) | (mg < -MAX_MG)).any(axis=0))
    # The difference of the extreme values does not fit into int16.
    if int(high) - int(low) > MAX_SPIKE_MG:
        read = np.ones(len(t_ms), dtype=bool)
        found["spike"] = np.logical_or.reduce(
            [_find_spikes(axis.astype(np.float64), read, MAX_SPIKE_MG) for axis in mg]
        )
    same = _is_stuck(mg)
    if same.any():
        found["stuck"] = np.logical_or.reduce([_in_long_runs(t_ms, axis) for axis in same])
    return found


def _in_long_runs(t_ms: NDArray[np.float64], same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) True in runs of equal samples of ``STUCK_S`` and more; ``same`` (n - 1,): equal to the one before."""
    edges = np.flatnonzero(np.diff(same.astype(np.int8), prepend=0, append=0))
    stuck = np.zeros(len(t_ms), dtype=bool)
    for first, last in edges.reshape(-1, 2):
        if t_ms[last] - t_ms[first] >= STUCK_S * 1000:
            stuck[first : last + 1] = True
    return stuck


def _steps_faults(
    t_ms: NDArray[np.float64], total: NDArray[Any], read: NDArray[np.bool_]
) -> dict[Fault, NDArray[np.bool_]]:
    known = total[read]
    low, high = int(known.min(initial=MAX_STEPS_A_DAY)), int(known.max(initial=0))
    if high <= MAX_STEPS_A_DAY and high - low <= MAX_STEPS_AT_ONCE:
        return {}
    beyond = total > MAX_STEPS_A_DAY
    kept = np.flatnonzero(read & ~beyond)
    found: dict[Fault, NDArray[np.bool_]] = {"range": beyond} if beyond.any() else {}
    rises = np.diff(total[kept].astype(np.int64))
    if not (rises > MAX_STEPS_AT_ONCE).any():
        return found
    jump = np.zeros(len(total), dtype=bool)
    last: int | np.integer[Any] = -1
    # One by one, each against the last plausible reading. Only windows with a jump come here, and they have at most
    # 100 readings.
    for index in kept:
        if last >= 0:
            allowed = max(MAX_STEPS_PER_S * (t_ms[index] - t_ms[last]) / 1000, MAX_STEPS_AT_ONCE)
            jump[index] = int(total[index]) - int(total[last]) > allowed
        if not jump[index]:
            last = index
    found["jump"] = jump
    return found
