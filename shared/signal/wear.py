"""Is what the sensors say believable? Runs of hops in which a value stands still (architecture.md, section 4).

The limits are far from what worn watches do, measured on recordings of 52 people with an Empatica E4 and 35 with the
WISDM watch: the longest heart rate that stayed the same (in whole bpm) lasted 142 s, the longest time in which no axis'
standard deviation in 10 s exceeded 13 mg was 10.8 min.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.records.gap import GapReason

FROZEN_BPM_S = 300
FROZEN_MG_S = 300
"""Every sample of every axis the same. An E4 at rest, whose steps are 16 mg wide, does that for tens of seconds."""
MOTIONLESS_SD_MG = 13.0
"""van Hees et al., PLoS ONE 2011 (non-wear detection with a wrist accelerometer)."""
NOT_WORN_S = 1_800
"""Motionless without one heart-rate reading: half an hour, as in the same work."""


@dataclass(frozen=True, slots=True)
class WearState:
    """How long, up to ``until_ms`` of device time, each sensor has shown the same; ``after(hop)`` gives the next state.

    ``same_bpm``: the value that the heart rate has had for ``same_bpm_s``. ``same_mg_s``: no accelerometer sample
    differs from its neighbour. ``motionless_s``: hardly any movement and no heart rate.
    """

    until_ms: int = 0
    same_bpm: int = 0
    same_bpm_s: int = 0
    same_mg_s: int = 0
    motionless_s: int = 0

    def after(
        self,
        start_ms: int,
        hop_ms: int,
        sd_mg: NDArray[np.float64],
        range_mg: NDArray[np.float64],
        bpm: NDArray[np.float64],
    ) -> "WearState":
        """The state once this hop is known: ``sd_mg`` and ``range_mg`` (3,) of its samples, ``bpm`` its readings.

        A hop that does not follow the one before begins all runs anew. One with a sample missing has infinite ones.
        """
        before = self if start_ms == self.until_ms else WearState()
        hop_s = hop_ms // 1000
        same_mg = not range_mg.any()
        motionless = not bpm.size and bool(sd_mg.max() < MOTIONLESS_SD_MG)
        value, same_bpm_s = 0, 0
        if bpm.size:
            values = np.rint(bpm)
            if values.min() == values.max():
                value = int(values[0])
                same_bpm_s = hop_s + (before.same_bpm_s if before.same_bpm == value else 0)
        return WearState(
            until_ms=start_ms + hop_ms,
            same_bpm=value,
            same_bpm_s=same_bpm_s,
            same_mg_s=before.same_mg_s + hop_s if same_mg else 0,
            motionless_s=before.motionless_s + hop_s if motionless else 0,
        )

    @property
    def suspects(self) -> dict[str, GapReason]:
        """The modalities that must not reach the model, and why."""
        found: dict[str, GapReason] = {}
        if self.motionless_s >= NOT_WORN_S:
            found["accelerometer"] = "not_worn"
        elif self.same_mg_s >= FROZEN_MG_S:
            found["accelerometer"] = "frozen"
        if self.same_bpm_s >= FROZEN_BPM_S:
            found["heart_rate"] = "frozen"
        return found
