"""Is what the sensors say believable? Runs of hops in which a value stands still (architecture.md, section 4).

The limits are far from what worn watches do, measured on recordings of 52 people with an Empatica E4 and 35 with the
WISDM watch: the longest heart rate that stayed the same (in whole bpm) lasted 142 s, the longest time in which no axis'
standard deviation in 10 s exceeded 13 mg was 10.8 min.
"""

from dataclasses import dataclass, replace

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
        mg: NDArray[np.float64],
        mg_covered: NDArray[np.bool_],
        bpm: NDArray[np.float64],
    ) -> "WearState":
        """The state once this hop is known: ``mg`` (3, n) with ``mg_covered`` (n,), ``bpm`` the readings in it.

        A hop that does not follow the one before begins all runs anew.
        """
        before = self if start_ms == self.until_ms else WearState()
        hop_s = hop_ms // 1000
        seen = mg[:, mg_covered]
        whole = seen.shape[1] == mg.shape[1]
        same_mg = whole and not np.ptp(seen, axis=1).any()
        motionless = whole and not bpm.size and bool((seen.std(axis=1) < MOTIONLESS_SD_MG).all())
        state = replace(
            before,
            until_ms=start_ms + hop_ms,
            same_mg_s=before.same_mg_s + hop_s if same_mg else 0,
            motionless_s=before.motionless_s + hop_s if motionless else 0,
        )
        if not bpm.size:
            return replace(state, same_bpm=0, same_bpm_s=0)
        values = np.rint(bpm)
        if values.min() != values.max():
            return replace(state, same_bpm=0, same_bpm_s=0)
        value = int(values[0])
        return replace(state, same_bpm=value, same_bpm_s=(before.same_bpm_s if before.same_bpm == value else 0) + hop_s)

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
