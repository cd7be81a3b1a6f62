"""Ticks: small records in every partition, so that an idle topic does not delay the others (architecture.md, 4)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from shared.contracts.errors import RetryLater
from shared.runtime import metrics
from shared.runtime.health import Health

logger = logging.getLogger("gaitway.ingest.ticks")

LOST_AFTER_S = 15.0
"""Without an acknowledged tick for so long the producer counts as lost: aiokafka can hang after a broker restart."""


async def send_ticks(
    tick: Callable[[], Awaitable[int]], health: Health, tick_s: float, *, lost_after_s: float = LOST_AFTER_S
) -> None:
    """Call ``tick`` every ``tick_s``, also after errors; return when all have failed for ``lost_after_s``."""
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
            # A bug here must not end the ticks: without them no user's windows close.
            logger.exception("tick failed")
            health.set_unready("kafka", "ticks fail, see the log")
        else:
            if "kafka" in health.not_ready:
                logger.info("Kafka answers again")
            health.set_ready("kafka")
            health.heartbeat()
            last_success_s = clock()
        # After a tick longer than tick_s the next one follows at once, without those missed.
        next_s = max(next_s + tick_s, clock())
        await asyncio.sleep(next_s - clock())
