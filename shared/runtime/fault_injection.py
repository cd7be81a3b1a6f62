"""Faults injected for the chaos run, which must catch each of them; off unless GAITWAY_INJECT_FAULT is set."""

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

from shared.contracts.errors import SettingsError

VARIABLE = "GAITWAY_INJECT_FAULT"
INJECTABLE_FAULTS = ("ack-early", "no-transaction", "no-ledger", "stale-baseline", "lost-upload")

EVERY = 25
"""lost-upload: one record in so many."""
SPLIT_S = 1.0
"""no-transaction: time between events and offsets, so that a kill falls into it."""

_INJECTED = os.environ.get(VARIABLE, "")


def is_injected(name: str) -> bool:
    """Whether this fault is to be made."""
    return name == _INJECTED


def run_detached(work: Coroutine[Any, Any, None]) -> None:
    """ack-early: do it without anybody waiting, or hearing of its failure."""
    asyncio.ensure_future(work).add_done_callback(lambda done: done.cancelled() or done.exception())


async def commit_early(producer: Any) -> None:
    """no-transaction: what is sent so far holds, whatever becomes of the rest."""
    await producer.commit_transaction()
    await asyncio.sleep(SPLIT_S)
    await producer.begin_transaction()


def log_if_active(logger: logging.Logger) -> None:
    """Say at start that this process breaks its promises; SettingsError for a fault that nobody knows."""
    if _INJECTED and _INJECTED not in INJECTABLE_FAULTS:
        raise SettingsError(f"{VARIABLE}: no fault {_INJECTED!r}, known are {', '.join(INJECTABLE_FAULTS)}")
    if _INJECTED:
        logger.critical("%s=%s: THIS PROCESS LOSES OR FALSIFIES DATA ON PURPOSE", VARIABLE, _INJECTED)
