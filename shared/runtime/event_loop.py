"""The process around the event loop: how late it wakes its tasks, and how often the garbage collector stops it."""

import asyncio
import gc
import time
from collections.abc import Callable

from shared.runtime import metrics

EVERY_S = 0.5
GC_THRESHOLDS = (50_000, 20, 50)
"""For hundreds of thousands of live objects and few cycles: Python's (700, 10, 10) walk through every user's state many
times a minute and find nothing."""


async def observe_event_loop_lag(monotonic: Callable[[], float] = time.monotonic) -> None:
    """Observe until cancelled how much later than asked a sleep ends."""
    while True:
        asleep_s = monotonic()
        await asyncio.sleep(EVERY_S)
        metrics.LOOP_LAG_SECONDS.observe(max(0.0, monotonic() - asleep_s - EVERY_S))


def tune_garbage_collector() -> None:
    """Call it once a service is set up: the objects of the set-up stay, and are not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
