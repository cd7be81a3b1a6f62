"""Which windows of a (user, device) are final: one bit per slot of the grid, kept by the hour."""

from shared.contracts.time_limits import FINAL_KEPT_MS, HOUR_MS
from shared.contracts.window_bitmap import window_place


class FinalWindows:
    """The windows of one (user, device) that have been closed; a window, once closed, is never opened again.

    All starts have the same ``phase_ms``. It is not in the bits: when the phase changes, the slot of a bit stays final.
    """

    def __init__(self, hop_ms: int, hours: dict[int, int] | None = None, *, phase_ms: int = 0) -> None:
        self.hop_ms = hop_ms
        self.phase_ms = phase_ms
        self.hours = dict(hours or {})

    def __contains__(self, window_start_ms: int) -> bool:
        hour, bit = window_place(window_start_ms, self.hop_ms)
        return bool(self.hours.get(hour, 0) & bit)

    def add(self, window_start_ms: int) -> int:
        """Mark one window as final; returns the hour whose bitmap has changed."""
        hour, bit = window_place(window_start_ms, self.hop_ms)
        self.hours[hour] = self.hours.get(hour, 0) | bit
        return hour

    def discard(self, window_start_ms: int) -> None:
        """Clear one window."""
        hour, bit = window_place(window_start_ms, self.hop_ms)
        bits = self.hours.get(hour, 0) & ~bit
        if bits:
            self.hours[hour] = bits
        else:
            self.hours.pop(hour, None)

    def bits(self, first_start_ms: int, last_start_ms: int) -> int:
        """The slots from the first to the last as one integer, the first in bit 0: as much work as hours, not slots."""
        slots_per_hour = HOUR_MS // self.hop_ms
        first_hour, first_slot = divmod(first_start_ms // self.hop_ms, slots_per_hour)
        found = 0
        for hour in range(first_hour, last_start_ms // HOUR_MS + 1):
            found |= self.hours.get(hour, 0) << ((hour - first_hour) * slots_per_hour)
        n = (last_start_ms - first_start_ms) // self.hop_ms + 1
        return (found >> first_slot) & ((1 << n) - 1)

    def last_before(self, window_start_ms: int) -> int | None:
        """Start of the latest final window before this one."""
        hour, bit = window_place(window_start_ms, self.hop_ms)
        earlier = self.hours.get(hour, 0) & (bit - 1)
        if not earlier:
            hour = max((h for h, bits in self.hours.items() if h < hour and bits), default=hour)
            earlier = self.hours.get(hour, 0)
            if not earlier or hour * HOUR_MS >= window_start_ms:
                return None
        start = hour * HOUR_MS + self.phase_ms + (earlier.bit_length() - 1) * self.hop_ms
        return start if start < window_start_ms else None

    def forget_old(self) -> list[int]:
        """Drop the hours that ended more than 8 days before the newest; returns them."""
        oldest_kept = max(self.hours, default=0) - FINAL_KEPT_MS // HOUR_MS
        old = [hour for hour in self.hours if hour < oldest_kept]
        for hour in old:
            del self.hours[hour]
        return old
