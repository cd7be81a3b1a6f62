"""Producers: how they are made, and how they are closed within a bounded time while the broker is away."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.kafka.aiokafka_patches import close_without_flush

log = logging.getLogger("gaitway.kafka")

FLUSH_S = 1.0
"""For what a producer still holds. What is not acknowledged by then was never said to be done: it comes again."""
CLOSE_S = 1.0
CANCEL_S = 0.5
"""For the end of what was cancelled: some of aiokafka's coroutines wait on, whatever they are told."""


def create_producer(bootstrap_servers: str, **options: Any) -> AIOKafkaProducer:
    """An idempotent producer whose records count once all in-sync replicas have them; not started yet."""
    return AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True, **options)


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Flush and disconnect.

    aiokafka 0.14 retries the batches of an idempotent producer for ever, and its ``stop`` waits for them.
    """
    if not await finish_within(producer.stop(), FLUSH_S):
        await abort_producer(producer)


async def abort_producer(producer: AIOKafkaProducer) -> None:
    """Disconnect without a flush."""
    for step in close_without_flush(producer):
        await finish_within(step, CLOSE_S)


async def finish_within(work: Awaitable[Any], timeout_s: float) -> bool:
    """Whether it came to its end in time; the broker's errors on the way are logged, the rest is cancelled."""
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=timeout_s)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_S)
        return False
    # With the broker away aiokafka lets the CancelledError of its own fetch out: no end of ours.
    if not task.cancelled() and (error := task.exception()) is not None:
        if not isinstance(error, KafkaError):
            raise error
        log.warning("while closing: %r", error)
    return True
