"""watch.gaps: a gap in a user's modality (JSON, v1)."""

from typing import Literal, get_args

import msgspec

from shared.contracts.decoding import DECODE_ERRORS
from shared.contracts.errors import InvalidRecord

GapReason = Literal[
    "not_sent",
    "dropped_upload",
    "sensor_silent",
    "zero_filled",
    "implausible",
    "frozen",
    "wrong_rate",
    "not_worn",
    "coverage",
]
"""Reasons of a gap.

not_sent        no upload covers the time
dropped_upload  uploads are missing: their sequence numbers have a gap
sensor_silent   the watch sent other modalities, or only nulls
zero_filled     all axes exactly 0: padding by an app, because gravity never gives such a reading
implausible     values that no body and no sensor on a wrist can have (shared/signal/plausibility.py)
frozen          the same value for longer than a body or a sensor's noise allows
wrong_rate      uploads follow each other faster or slower than their samples at the stated rate
not_worn        motionless for half an hour, without a heart rate
coverage        none of these; the samples do not fill the window
"""

GAP_REASONS: tuple[GapReason, ...] = get_args(GapReason)


class Gap(msgspec.Struct, frozen=True):
    """``modality`` of ``user`` gave no usable data from ``start_ms`` to ``end_ms`` (device time).

    The bounds are those of the window in which the modality does not pass, so neighbouring gaps overlap as windows do.
    A restart may write the same gap again: (user, device, modality, start, end) identifies it.
    """

    user: str
    device: str
    modality: str
    start_ms: int
    end_ms: int
    reason: GapReason
    coverage: float
    v: int = 1

    def encode(self) -> bytes:
        """Return JSON bytes."""
        return msgspec.json.encode(self)


def decode_gap(value: bytes) -> Gap:
    """Read one record of watch.gaps; raises InvalidRecord. For external consumers: no service reads that topic."""
    try:
        return msgspec.json.decode(value, type=Gap)
    except DECODE_ERRORS as error:
        raise InvalidRecord(f"gap record: {error}") from error
