"""Retries with growing pauses, shown on /readyz and logged at intervals."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.contracts.errors import Refused, RetryLater
from shared.runtime.health import Health
from shared.runtime.logging import ThrottledLogger

FIRST_WAIT_S = 0.5
LAST_WAIT_S = 5.0

T = TypeVar("T")


async def retry_until_available(
    attempt: Callable[[], Awaitable[T]],
    health: Health,
    dependency: str,
    logger: logging.Logger,
    *,
    keep_alive: bool = False,
) -> T:
    """Call ``attempt`` until it raises no RetryLater; the service is not ready meanwhile.

    ``keep_alive``: neither the wait nor a refusal makes /healthz fail.
    """
    throttled = ThrottledLogger(logger)
    wait_s = FIRST_WAIT_S
    while True:
        try:
            result = await attempt()
        except RetryLater as error:
            throttled.log(dependency, logging.WARNING, "%s; retrying in %.1f s", error, wait_s)
            health.set_unready(dependency, str(error), refused=isinstance(error, Refused) and not keep_alive)
            if keep_alive:
                health.heartbeat()
        else:
            health.set_ready(dependency)
            return result
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LAST_WAIT_S)
