"""Connectivity and clock skew of each watch, for metrics only."""

from dataclasses import dataclass

DISCONNECTED_AFTER_MS = 120_000
CONNECTED_WITHIN_MS = 30_000
SKEW_UPLOADS = 16


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """State of one device for the gauges."""

    connected: bool
    skew_ms: int


@dataclass(slots=True)
class Connectivity:
    """Whether a device sends current data, by event time and with hysteresis, so that old data does not look current.

    A device is disconnected when its newest sample is more than 2 min behind log time, and connected again when one is
    within 30 s.
    """

    newest_event_ms: float = 0.0
    connected: bool = True

    def observe(self, log_ms: int, event_ms: float) -> None:
        """Record a sample that ends at ``event_ms`` of device time."""
        self.newest_event_ms = max(self.newest_event_ms, event_ms)
        if log_ms - self.newest_event_ms < CONNECTED_WITHIN_MS:
            self.connected = True

    def is_connected(self, log_ms: int) -> bool:
        """Whether the device is connected at this log time."""
        if log_ms - self.newest_event_ms > DISCONNECTED_AFTER_MS:
            self.connected = False
        return self.connected


@dataclass(slots=True)
class ClockSkew:
    """How far a device's clock is behind the gateway's: the smallest recent difference of receipt and sending.

    An upload takes time to arrive but never arrives before it is sent, so the smallest is the best estimate. The
    minima of two blocks of 16 uploads are kept: a clock that is set takes effect after at most two blocks.

    >>> skew = ClockSkew()
    >>> for difference_ms in (900, 250, 4_000):
    ...     skew.update(difference_ms)
    >>> skew.get()
    250
    """

    _previous: int | None = None
    _current: int | None = None
    _count: int = 0

    def update(self, difference_ms: int) -> None:
        """``difference_ms``: gateway's receipt minus the device's time of sending."""
        self._current = difference_ms if self._current is None else min(self._current, difference_ms)
        self._count += 1
        if self._count == SKEW_UPLOADS:
            self._previous, self._current, self._count = self._current, None, 0

    def get(self) -> int | None:
        """Skew in ms; None until the first upload."""
        known = [value for value in (self._previous, self._current) if value is not None]
        return min(known, default=None)
