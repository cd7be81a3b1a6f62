"""watch.gaps: a hole in a user's modality (JSON, v1)."""

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
"""Why there is nothing usable.

not_sent        no upload covers the time
dropped_upload  uploads are missing: their sequence numbers leave out some
sensor_silent   the watch sent other modalities, or only nulls
zero_filled     all axes exactly 0, which no accelerometer under gravity measures: an app's filling
implausible     values that no body or no sensor on a wrist gives (shared/signal/plausibility.py)
frozen          the same value for longer than a body or a sensor's noise allows
wrong_rate      uploads follow each other faster or slower than their samples at the stated rate
not_worn        motionless for half an hour, without a heart rate
coverage        none of these; what came does not fill the window
"""

GAP_REASONS: tuple[GapReason, ...] = get_args(GapReason)


class Gap(msgspec.Struct, frozen=True):
    """``modality`` of ``user`` gave no usable data from ``start_ms`` to ``end_ms`` (device time).

    A modality that does not pass in a window is reported with that window's bounds, so neighbouring reports overlap
    as windows do. The same gap may be written again after a restart: (user, device, modality, start, end) names it.
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
        """JSON bytes."""
        return msgspec.json.encode(self)


def decode_gap(value: bytes) -> Gap:
    """Read one record of watch.gaps; raises InvalidRecord. For consumers of that topic: no service reads it."""
    try:
        return msgspec.json.decode(value, type=Gap)
    except DECODE_ERRORS as error:
        raise InvalidRecord(f"gap record: {error}") from error
