"""Common code of the processes ingest, features, inference and canary, from start to orderly end."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import uvloop

from shared.contracts.errors import Stop
from shared.runtime.event_loop import observe_event_loop_lag, tune_garbage_collector
from shared.runtime.logging import configure_logging
from shared.runtime.settings import ServiceSettings

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
CANCEL_S = 1.0
"""Time limit of cancelled tasks: some of aiokafka's coroutines ignore the cancellation."""

Settings = TypeVar("Settings", bound=ServiceSettings)


class Service(Protocol):
    """Interface of a service: the constructor connects its parts, ``run`` starts and stops them."""

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set, then shut down in order; raises Stop when it cannot continue."""


def run_service(name: str, settings: Settings, create: Callable[[Settings], Service]) -> None:
    """Run a service until SIGTERM or SIGINT; ``create`` is called inside the event loop.

    Raises:
        Stop: it cannot start or cannot continue.
    """
    logger = configure_logging(name, settings.log_level, settings.log_format)
    settings.log(logger)
    uvloop.run(_run(lambda: create(settings), logger))


async def _run(create: Callable[[], Service], logger: logging.Logger) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        service = create()
        tune_garbage_collector()
        observing = asyncio.create_task(observe_event_loop_lag())
        try:
            await service.run(stop)
        except Stop:
            raise
        except Exception:
            logger.critical("the process ends because of a bug", exc_info=True)
            raise
        finally:
            observing.cancel()
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


async def run_together(*work: Coroutine[Any, Any, Any], cancel_s: float = CANCEL_S) -> None:
    """Run until the first one ends, then cancel the others; raises the error of the first one.

    ``cancel_s``: time that the others have for what they do when they are cancelled.
    """
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=cancel_s)


def run_main(name: str, read: Callable[[], Settings], create: Callable[[Settings], Service]) -> int:
    """Run ``python -m services.NAME``; exit code 0 after a signal, 1 with one line on standard error after Stop."""
    try:
        run_service(name, read(), create)
    except Stop as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0
