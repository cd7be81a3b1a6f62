"""Faults built in on purpose for the chaos run, which must catch each of them; off unless GAITWAY_PLANT is set."""

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

from shared.contracts.errors import SettingsError

VARIABLE = "GAITWAY_PLANT"
PLANTS = ("ack-early", "no-transaction", "no-ledger", "stale-baseline", "lost-upload")

EVERY = 25
"""lost-upload: one record in so many."""
SPLIT_S = 1.0
"""no-transaction: time between events and offsets, so that a kill falls into it."""

_PLANTED = os.environ.get(VARIABLE, "")


def is_planted(name: str) -> bool:
    """Whether this fault is to be made."""
    return name == _PLANTED


def forget(work: Coroutine[Any, Any, None]) -> None:
    """ack-early: do it without anybody waiting, or hearing of its failure."""
    asyncio.ensure_future(work).add_done_callback(lambda done: done.cancelled() or done.exception())


async def split(producer: Any) -> None:
    """no-transaction: what is sent so far holds, whatever becomes of the rest."""
    await producer.commit_transaction()
    await asyncio.sleep(SPLIT_S)
    await producer.begin_transaction()


def warn(logger: logging.Logger) -> None:
    """Say at start that this process breaks its promises; SettingsError for a fault that nobody knows."""
    if _PLANTED and _PLANTED not in PLANTS:
        raise SettingsError(f"{VARIABLE}: no plant {_PLANTED!r}, known are {', '.join(PLANTS)}")
    if _PLANTED:
        logger.critical("%s=%s: THIS PROCESS LOSES OR FALSIFIES DATA ON PURPOSE", VARIABLE, _PLANTED)
