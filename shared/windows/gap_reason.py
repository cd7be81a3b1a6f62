"""The reason why a modality does not pass in a window, from its records; the first that applies."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shared.contracts.gap import GapReason
from shared.contracts.modality import Modality
from shared.contracts.samples import SampleRecord

MIN_SHARE = 0.05
"""A window passes with 90 % of its samples, so zeros or nulls below half of the rest are not the reason."""
RATE_TOLERANCE = 0.05
"""Clocks of watches drift by parts per million; wrong rates seen in practice are off by 16 %."""


def reason_of(
    modality: Modality,
    records: Sequence[SampleRecord],
    is_announced: bool,
    read: NDArray[np.bool_],
    faulty: NDArray[np.bool_],
) -> GapReason:
    """The reason for a modality that does not pass.

    Args:
        modality: which one.
        records: its records, in the order of the log.
        is_announced: whether their uploads announce it.
        read: (n,) of their samples inside the window: False where the watch sent null or filled in zeros.
        faulty: over the readings, each stamp once: True where a sample is implausible.
    """
    if not records:
        return "not_sent" if is_announced else "sensor_silent"
    if _is_much(~read):
        return "zero_filled" if modality.name == "accelerometer" else "sensor_silent"
    if _is_much(faulty):
        return "implausible"
    if _leaves_out(records):
        return "dropped_upload"
    if _is_off_rate(records):
        return "wrong_rate"
    return "coverage"


def _is_much(missing: NDArray[np.bool_]) -> bool:
    return bool(missing.size) and float(missing.mean()) >= MIN_SHARE


def _leaves_out(records: Sequence[SampleRecord]) -> bool:
    """Whether sequence numbers are missing between neighbouring uploads of one session."""
    ordered = sorted(records, key=lambda record: record.t0_ms)
    return any(a.session == b.session and b.seq - a.seq > 1 for a, b in pairwise(ordered))


def _is_off_rate(records: Sequence[SampleRecord]) -> bool:
    """Whether all uploads begin too early or too late after the previous one, by the same share of their length."""
    ordered = sorted(records, key=lambda record: record.t0_ms)
    shares = [
        (b.t0_ms - a.t0_ms) / (a.end_ms - a.t0_ms)
        for a, b in pairwise(ordered)
        if a.session == b.session and b.seq == a.seq + 1
    ]
    return len(shares) >= 2 and all(abs(share - 1.0) > RATE_TOLERANCE for share in shares)
