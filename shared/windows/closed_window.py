"""A closed window on its grid."""

from collections.abc import Collection

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.contracts.gap import Gap, GapReason
from shared.contracts.modality import WINDOW_MS
from shared.signal.baseline import Hop
from shared.signal.resample import GridSignal, masked_signal


class ClosedWindow(msgspec.Struct, frozen=True, eq=False):
    """A closed window on its grid, before any baseline: a pure function of the samples inside it."""

    user: str
    device: str
    window_start_ms: int
    hop_ms: int
    closed_by: str
    signals: dict[str, GridSignal]
    announced: frozenset[str]
    failed: dict[str, GapReason]
    resting: NDArray[np.bool_]
    source_received_at_ms: int
    utc_offset_min: int | None
    traceparent: str | None

    def gap(self, name: str, reason: GapReason) -> Gap:
        """The record of this modality's gap in the window."""
        start = self.window_start_ms
        return Gap(self.user, self.device, name, start, start + WINDOW_MS, reason, self.signals[name].coverage)

    def without(self, names: Collection[str]) -> "ClosedWindow":
        """The window with these modalities masked."""
        if not names:
            return self
        masked = {name: masked_signal(signal) if name in names else signal for name, signal in self.signals.items()}
        return msgspec.structs.replace(self, signals=masked)

    def newest_hop(self) -> Hop:
        """The hop with which this window updates the user's baseline."""
        accelerometer, heart = self.signals["accelerometer"], self.signals["heart_rate"]
        skip_ms = WINDOW_MS - self.hop_ms
        mg_from, bpm_from = skip_ms * 25 // 1000, skip_ms // 1000
        return Hop(
            start_ms=self.window_start_ms + skip_ms,
            hop_ms=self.hop_ms,
            mg=accelerometer.values[:, mg_from:],
            mg_covered=accelerometer.covered[mg_from:],
            bpm=heart.values[0, bpm_from:],
            bpm_covered=heart.covered[bpm_from:],
            resting=self.resting[bpm_from:],
        )
