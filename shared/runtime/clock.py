"""Processing time, injected so that tests can fix it. Event time comes from the device, never from here."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns milliseconds since the Unix epoch."""


def system_clock() -> int:
    """Return this machine's wall-clock time, in ms since the Unix epoch."""
    return time.time_ns() // 1_000_000
