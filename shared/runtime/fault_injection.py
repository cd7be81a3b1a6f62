"""Injected faults for the chaos run, which must detect each of them; off unless GAITWAY_INJECT_FAULT is set."""

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

from shared.contracts.errors import SettingsError

VARIABLE = "GAITWAY_INJECT_FAULT"
INJECTABLE_FAULTS = ("ack-early", "no-transaction", "no-ledger", "stale-baseline", "lost-upload")

EVERY = 25
"""lost-upload: one record in this many is lost."""
SPLIT_S = 1.0
"""no-transaction: time between events and offsets, long enough for a kill to hit it."""

_INJECTED = os.environ.get(VARIABLE, "")


def is_injected(name: str) -> bool:
    """Return whether this fault is injected."""
    return name == _INJECTED


def run_detached(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` in the background and ignore its failure (ack-early)."""
    asyncio.ensure_future(work).add_done_callback(lambda done: done.cancelled() or done.exception())


async def commit_early(producer: Any) -> None:
    """Commit the records sent so far, before the rest of the transaction (no-transaction)."""
    await producer.commit_transaction()
    await asyncio.sleep(SPLIT_S)
    await producer.begin_transaction()


def log_if_active(logger: logging.Logger) -> None:
    """Log at start that this process breaks its guarantees; raises SettingsError for an unknown fault."""
    if _INJECTED and _INJECTED not in INJECTABLE_FAULTS:
        raise SettingsError(f"{VARIABLE}: unknown fault {_INJECTED!r}, known are {', '.join(INJECTABLE_FAULTS)}")
    if _INJECTED:
        logger.critical("%s=%s: THIS PROCESS LOSES OR FALSIFIES DATA ON PURPOSE", VARIABLE, _INJECTED)
