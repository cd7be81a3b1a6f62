"""Detection of frozen sensors and non-wear from runs of constant values (architecture.md, section 4).

The limits are far from the values of worn watches, measured on recordings of 52 people with an Empatica E4 and 35 with
the WISDM watch: the longest heart rate that stayed the same (in whole bpm) lasted 142 s, the longest time in which no
axis' standard deviation in 10 s exceeded 13 mg was 10.8 min.
"""

import struct
from dataclasses import dataclass

from shared.contracts.errors import InvalidRecord
from shared.contracts.gap import GapReason
from shared.contracts.window import HOPS_MS

FROZEN_BPM_S = 300
FROZEN_MG_S = 300
"""All samples of all axes are equal. An E4 at rest, with its resolution of 16 mg, does that for tens of seconds."""
MOTIONLESS_SD_MG = 13.0
"""van Hees et al., PLoS ONE 2011 (non-wear detection with a wrist accelerometer)."""
NOT_WORN_S = 1_800
"""No movement and no heart-rate reading for half an hour, as in the same work."""
STILL_SD_MG = 30.0
KEPT_S = NOT_WORN_S
"""The longest time that a limit looks back."""
BRIDGED_S = 60
"""Up to this many unknown hops, whose window is open or lost, do not end a run."""

_LAYOUT = struct.Struct("<BBqB")
_LAYOUT_VERSION = 1
_BITMAP_BYTES = (KEPT_S // 10 + 7) // 8
"""At the shortest hop, 10 s."""


@dataclass(slots=True)
class DeviceHistory:
    """Properties of each hop in the last half hour of one (user, device), by event time.

    The state depends on the set of hops, not on the order in which their windows closed: a late hop is inserted at its
    place, and a repeated one changes nothing. Bit 0 of every bitmap is the newest hop.

    >>> history = DeviceHistory(10_000)
    >>> for start_ms in (0, 20_000, 10_000):
    ...     history.update(start_ms, sd_mg=5.0, is_constant=False, has_readings=True, bpm=60)
    >>> history.still_s(20_000)
    30
    """

    hop_ms: int
    newest: int = -1
    """Number of the newest hop: its start in whole hops since the Unix epoch."""
    known: int = 0
    same_mg: int = 0
    """No accelerometer sample differs from its neighbour."""
    motionless: int = 0
    """Hardly any movement, and no heart rate."""
    still: int = 0
    """Little movement: the heart rate counts as one at rest."""
    same_bpm: int = 0
    """All readings are ``bpm``."""
    bpm: int = 0

    def update(self, start_ms: int, *, sd_mg: float, is_constant: bool, has_readings: bool, bpm: int) -> None:
        """Add one hop: the statistics of its samples (shared.signal.baseline.HopStatistics).

        A hop from before the last half hour is left out.
        """
        number = start_ms // self.hop_ms
        is_newest = number > self.newest
        if is_newest:
            self._shift(number - self.newest)
            self.newest = number
        back = self.newest - number
        if back >= self._kept:
            return
        bit = 1 << back
        if bpm and bpm != self.bpm and is_newest:
            self.bpm, self.same_bpm = bpm, 0
        self.known |= bit
        self.same_mg = _put(self.same_mg, bit, is_constant)
        self.motionless = _put(self.motionless, bit, not has_readings and sd_mg < MOTIONLESS_SD_MG)
        self.still = _put(self.still, bit, sd_mg < STILL_SD_MG)
        self.same_bpm = _put(self.same_bpm, bit, bpm > 0 and bpm == self.bpm)

    def failed_checks(self, start_ms: int) -> dict[str, GapReason]:
        """The modalities that must not reach the model in the window with this newest hop, with the reason."""
        found: dict[str, GapReason] = {}
        if self._measure_run_s(start_ms, self.motionless) >= NOT_WORN_S:
            found["accelerometer"] = "not_worn"
        elif self._measure_run_s(start_ms, self.same_mg) >= FROZEN_MG_S:
            found["accelerometer"] = "frozen"
        if self._measure_run_s(start_ms, self.same_bpm) >= FROZEN_BPM_S:
            found["heart_rate"] = "frozen"
        return found

    def still_s(self, start_ms: int) -> int:
        """Length of the still period that ends with this hop, at most half an hour."""
        return self._measure_run_s(start_ms, self.still)

    def to_bytes(self) -> bytes:
        """Version, hop in s, newest hop, bpm and five bitmaps, little-endian: 126 bytes."""
        bitmaps = (self.known, self.same_mg, self.motionless, self.still, self.same_bpm)
        head = _LAYOUT.pack(_LAYOUT_VERSION, self.hop_ms // 1000, self.newest, self.bpm)
        return head + b"".join(bits.to_bytes(_BITMAP_BYTES, "little") for bits in bitmaps)

    @classmethod
    def from_bytes(cls, data: bytes) -> "DeviceHistory":
        """Inverse of ``to_bytes``; raises InvalidRecord."""
        if len(data) != _LAYOUT.size + 5 * _BITMAP_BYTES or data[0] != _LAYOUT_VERSION:
            raise InvalidRecord(f"a device's history of {len(data)} bytes is none that this reader knows")
        _, hop_s, newest, bpm = _LAYOUT.unpack_from(data)
        hop_ms = hop_s * 1000
        if hop_ms not in HOPS_MS:
            raise InvalidRecord(f"a device's history with a hop of {hop_s} s")
        mask = (1 << (KEPT_S * 1000 // hop_ms)) - 1
        at = range(_LAYOUT.size, len(data), _BITMAP_BYTES)
        known, same_mg, motionless, still, same_bpm = (
            int.from_bytes(data[i : i + _BITMAP_BYTES], "little") & mask for i in at
        )
        return cls(hop_ms, newest, known, same_mg, motionless, still, same_bpm, bpm)

    @property
    def _kept(self) -> int:
        return KEPT_S * 1000 // self.hop_ms

    def _shift(self, hops: int) -> None:
        hops = min(hops, self._kept)
        mask = (1 << self._kept) - 1
        self.known = (self.known << hops) & mask
        self.same_mg = (self.same_mg << hops) & mask
        self.motionless = (self.motionless << hops) & mask
        self.still = (self.still << hops) & mask
        self.same_bpm = (self.same_bpm << hops) & mask

    def _measure_run_s(self, start_ms: int, showing: int) -> int:
        """Length of the run of hops in ``showing`` that ends with this one."""
        back = self.newest - start_ms // self.hop_ms
        showing = showing >> back if back >= 0 else 0
        if not showing & 1:
            return 0
        known = self.known >> back
        unknown = ~known
        # The first place with too many unknown hops in a row; all hops before the last half hour are unknown.
        for _ in range(BRIDGED_S * 1000 // self.hop_ms):
            unknown &= unknown >> 1
        end = _find_lowest_bit(unknown)
        if others := known & ~showing:
            end = min(end, _find_lowest_bit(others))
        return (showing & ((1 << end) - 1)).bit_length() * self.hop_ms // 1000


def _put(bits: int, bit: int, is_set: bool) -> int:
    return bits | bit if is_set else bits & ~bit


def _find_lowest_bit(bits: int) -> int:
    """Index of the lowest bit that is set."""
    return (bits & -bits).bit_length() - 1
