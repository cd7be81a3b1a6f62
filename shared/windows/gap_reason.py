"""Why a modality does not pass in a window, as far as its records tell; the first reason that fits."""

from collections.abc import Container, Mapping, Sequence
from itertools import pairwise

import numpy as np

from shared.modality import Modality
from shared.records.gap import GapReason
from shared.records.samples import SampleRecord
from shared.signal.resample import is_reading

MIN_SHARE = 0.05
"""A window passes with 90 % of its samples: fewer fillings or nulls than half of the rest are not what failed it."""
RATE_TOLERANCE = 0.05
"""Clocks of watches drift by parts per million; rates that are off are off by 16 %, as seen in the field."""


def reason_of(
    modality: Modality, records: Mapping[str, Sequence[SampleRecord]], announced: Container[str]
) -> GapReason:
    """The reason for a modality that does not pass.

    ``records``: by modality name, in the order of the log; ``announced``: what their uploads were to hold.
    """
    own = records.get(modality.name, ())
    if not own:
        return "not_sent" if modality.name in announced else "sensor_silent"
    missing = 1.0 - float(np.mean(np.concatenate([is_reading(modality, record.samples) for record in own])))
    if missing >= MIN_SHARE:
        return "zero_filled" if modality.name == "accelerometer" else "sensor_silent"
    if _leaves_out(own):
        return "dropped_upload"
    if _is_off_rate(own):
        return "wrong_rate"
    return "coverage"


def _leaves_out(records: Sequence[SampleRecord]) -> bool:
    """Whether the uploads of one session that stand next to each other in time are not next to each other in number."""
    ordered = sorted(records, key=lambda record: record.t0_ms)
    return any(a.session == b.session and b.seq - a.seq > 1 for a, b in pairwise(ordered))


def _is_off_rate(records: Sequence[SampleRecord]) -> bool:
    """Whether every upload begins at another time than the one before it ends, by the same share of its length."""
    ordered = sorted(records, key=lambda record: record.t0_ms)
    shares = [
        (b.t0_ms - a.t0_ms) / (a.end_ms - a.t0_ms)
        for a, b in pairwise(ordered)
        if a.session == b.session and b.seq == a.seq + 1
    ]
    return len(shares) >= 2 and all(abs(share - 1.0) > RATE_TOLERANCE for share in shares)
