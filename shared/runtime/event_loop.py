"""Is the event loop free? A task that is woken late says that something else has kept it."""

import asyncio
import time
from collections.abc import Callable

from shared.runtime import metrics

EVERY_S = 0.5


async def watch_event_loop(monotonic: Callable[[], float] = time.monotonic) -> None:
    """Observe until cancelled how much later than asked a sleep ends."""
    while True:
        asleep_s = monotonic()
        await asyncio.sleep(EVERY_S)
        metrics.LOOP_LAG_SECONDS.observe(max(0.0, monotonic() - asleep_s - EVERY_S))
