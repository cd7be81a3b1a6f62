"""The reason why a recording has no window to classify, as text for its owner."""

from collections import Counter

import numpy as np

from shared.contracts.gap import GapReason
from shared.contracts.modality import ACCELEROMETER, WINDOW_MS
from training.datasets.recording import Recording
from training.offline import HOP_MS, find_gaps

_WORDS: dict[GapReason, str] = {
    "zero_filled": "the accelerometer's samples are all 0: an app filled them in",
    "not_worn": "not worn: no movement and no heart rate for half an hour",
    "frozen": "the accelerometer shows one value for 5 min and longer",
}


def explain_no_window(recording: Recording, user: str | None = None) -> str:
    """Say why :func:`training.offline.offline_windows` yields nothing for a recording, on the grid of this user."""
    t_ms = recording.accelerometer_t_ms[recording.accelerometer_mg.any(axis=1)]
    if not len(t_ms):
        return _WORDS["zero_filled"]
    steps_ms = np.diff(t_ms)
    if len(t_ms) > 1 and np.median(steps_ms) > ACCELEROMETER.max_step_ms:
        return (
            f"too few samples: the accelerometer's are {np.median(steps_ms):.0f} ms apart, over "
            f"{ACCELEROMETER.max_step_ms:.0f} ms are no signal"
        )
    longest_s = _longest_ms(t_ms) / 1000
    if longest_s < (WINDOW_MS + HOP_MS) / 1000:
        return (
            f"too short: {longest_s:.1f} s of acceleration with no dropout over "
            f"{ACCELEROMETER.max_dropout_ms / 1000:g} s; a window takes {WINDOW_MS // 1000} s, and one begins every "
            f"{HOP_MS // 1000} s"
        )
    reasons = Counter(gap.reason for gap in find_gaps(recording, user=user) if gap.modality == ACCELEROMETER.name)
    reason = next((name for name, _ in reasons.most_common() if name in _WORDS), None)
    return _WORDS[reason] if reason else "too few samples: no window has 90 % of its acceleration"


def _longest_ms(t_ms: np.ndarray) -> float:
    """The longest stretch without a dropout that would fail a window."""
    stretches = np.split(t_ms, np.flatnonzero(np.diff(t_ms) > ACCELEROMETER.max_dropout_ms) + 1)
    return max(float(stretch[-1] - stretch[0]) for stretch in stretches)
