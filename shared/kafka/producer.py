"""Creation of producers, and their end within a limited time while the broker is unavailable."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.kafka.aiokafka_patches import close_without_flush

log = logging.getLogger("gaitway.kafka")

FLUSH_S = 1.0
"""Time limit of the flush. Unacknowledged records were never reported as done, so they are sent again."""
CLOSE_S = 1.0
CANCEL_S = 0.5
"""Time limit of a cancelled task: some of aiokafka's coroutines ignore the cancellation."""


def create_producer(bootstrap_servers: str, **options: Any) -> AIOKafkaProducer:
    """Create an idempotent producer with acks from all in-sync replicas; not started yet."""
    return AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True, **options)


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Flush and disconnect.

    aiokafka 0.14 retries the batches of an idempotent producer without end, and its ``stop`` waits for them.
    """
    if not await finish_within(producer.stop(), FLUSH_S):
        await abort_producer(producer)


async def abort_producer(producer: AIOKafkaProducer) -> None:
    """Disconnect without a flush."""
    for step in close_without_flush(producer):
        await finish_within(step, CLOSE_S)


async def finish_within(work: Awaitable[Any], timeout_s: float) -> bool:
    """Await ``work``, log errors of the broker, cancel it after ``timeout_s``; returns whether it ended in time."""
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=timeout_s)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_S)
        return False
    # While the broker is unavailable, aiokafka raises the CancelledError of its own fetch; we did not cancel.
    if not task.cancelled() and (error := task.exception()) is not None:
        if not isinstance(error, KafkaError):
            raise error
        log.warning("error while closing a Kafka client: %r", error)
    return True
