"""Lag of the event loop, and the frequency of the garbage collector that stops it."""

import asyncio
import gc
import time
from collections.abc import Callable

from shared.runtime import metrics

EVERY_S = 0.5
GC_THRESHOLDS = (50_000, 20, 50)
"""For hundreds of thousands of live objects and few cycles: with Python's default (700, 10, 10) the collector scans
every user's state many times a minute and finds nothing."""


async def observe_event_loop_lag(monotonic: Callable[[], float] = time.monotonic) -> None:
    """Measure until cancelled how much later than requested a sleep ends."""
    while True:
        asleep_s = monotonic()
        await asyncio.sleep(EVERY_S)
        metrics.LOOP_LAG_SECONDS.observe(max(0.0, monotonic() - asleep_s - EVERY_S))


def tune_garbage_collector() -> None:
    """Collect once after the set-up of a service and exclude its objects from later collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
