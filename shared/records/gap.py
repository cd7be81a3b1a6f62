"""watch.gaps: a hole in a user's modality (JSON, v1)."""

from typing import Literal

import msgspec

GapReason = Literal["not_sent", "coverage", "no_reading"]
"""``not_sent``: no data at all for whole windows. ``coverage``: what came does not fill the window.
``no_reading``: the watch sent the modality, but the sensor gave nothing (null)."""


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
    """Read one record of watch.gaps; raises msgspec.MsgspecError."""
    return msgspec.json.decode(value, type=Gap)
