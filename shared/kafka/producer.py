"""Parting from a broker within a bounded time: it may be away, and aiokafka would wait for it without end."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

log = logging.getLogger("gaitway.kafka")

FLUSH_S = 1.0
"""For what a producer still holds. What is not acknowledged by then was never said to be done: it comes again."""
CLOSE_S = 1.0
CANCEL_S = 0.5
"""For the end of what was cancelled: some of aiokafka's coroutines wait on, whatever they are told."""


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Flush and disconnect.

    aiokafka 0.14 retries the batches of an idempotent producer for ever, and its ``stop`` waits for them.
    """
    if not await finish_within(producer.stop(), FLUSH_S):
        await abort_producer(producer)


async def abort_producer(producer: AIOKafkaProducer) -> None:
    """Disconnect without a flush: what ``AIOKafkaProducer.stop`` does but for that."""
    await finish_within(producer._sender.close(), CLOSE_S)
    await finish_within(producer.client.close(), CLOSE_S)
    producer._closed = True


async def finish_within(parting: Awaitable[Any], timeout_s: float) -> bool:
    """Whether it came to its end in time; the broker's errors on the way are logged, the rest is cancelled."""
    task = asyncio.ensure_future(parting)
    done, _ = await asyncio.wait({task}, timeout=timeout_s)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_S)
        return False
    # With the broker away aiokafka lets the CancelledError of its own fetch out: no end of ours.
    if not task.cancelled() and (error := task.exception()) is not None:
        if not isinstance(error, KafkaError):
            raise error
        log.warning("on parting: %r", error)
    return True
