"""Ticks: small records in every partition, so that a topic nobody writes to holds nobody back (architecture.md, 4)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from shared.contracts.errors import RetryLater
from shared.runtime import metrics
from shared.runtime.health import Health

logger = logging.getLogger("gaitway.ingest.ticks")

LOST_AFTER_S = 15.0
"""Without one acknowledged tick the producer counts as lost: aiokafka can hang after a broker's restart, unseen."""


async def send_ticks(
    tick: Callable[[], Awaitable[int]], health: Health, tick_s: float, *, lost_after_s: float = LOST_AFTER_S
) -> None:
    """Await ``tick()`` every ``tick_s``, whatever becomes of one; return when all have failed for ``lost_after_s``."""
    clock = asyncio.get_running_loop().time
    last_success_s = next_s = clock()
    while clock() - last_success_s < lost_after_s:
        try:
            metrics.TICKS.inc(await tick())
        except RetryLater as error:
            if "kafka" not in health.not_ready:
                logger.warning("tick failed: %s", error)
            health.set_unready("kafka", str(error))
        except Exception:
            # A bug here must not end the ticks: without them every user's windows stand still.
            logger.exception("tick failed")
            health.set_unready("kafka", "ticks fail, see the log")
        else:
            if "kafka" in health.not_ready:
                logger.info("Kafka answers")
            health.set_ready("kafka")
            health.heartbeat()
            last_success_s = clock()
        # A tick that took longer than tick_s is followed by the next at once, not by all that were missed.
        next_s = max(next_s + tick_s, clock())
        await asyncio.sleep(next_s - clock())
