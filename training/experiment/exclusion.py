"""Who cannot take part, and why (Mallol-Ragolta et al. 2022, section 3, leave out people with corrupt pedometers)."""

from collections.abc import Sequence

import numpy as np

from training.datasets.recording import Recording

ON_FOOT = ("walking", "running", "stairs")
MIN_ON_FOOT_S = 60.0
RESET_STEPS = 10
"""What a counter may show that has just begun anew, at midnight or with the watch; one that falls to more is broken."""


def corrupt_pedometer(recordings: Sequence[Recording]) -> str | None:
    """What is wrong with the step counter of one person's recordings, or None; one that is absent is not corrupt."""
    on_foot_s, steps_on_foot = 0.0, 0
    for recording in recordings:
        total, t_ms = recording.steps_total, recording.steps_t_ms
        if not len(total):
            continue
        fallen = np.flatnonzero((np.diff(total) < 0) & (total[1:] > RESET_STEPS))
        if len(fallen):
            return f"corrupt pedometer: it falls from {total[fallen[0]]} to {total[fallen[0] + 1]} steps"
        for label in recording.labels:
            span = total[slice(*np.searchsorted(t_ms, [label.start_ms, label.end_ms]))]
            if label.activity in ON_FOOT and len(span):
                on_foot_s += (label.end_ms - label.start_ms) / 1000
                steps_on_foot += int(np.maximum(np.diff(span), 0).sum())
    if on_foot_s >= MIN_ON_FOOT_S and not steps_on_foot:
        return f"corrupt pedometer: it counts no step in {on_foot_s / 60:.1f} min on foot"
    return None
