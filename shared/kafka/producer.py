"""Creation of producers, sending in batches, and their end within a limited time while the broker is unavailable."""

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from itertools import zip_longest
from typing import Any, NamedTuple

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


class Message(NamedTuple):
    """One record for a partition that its sender has chosen."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


async def send_in_batches(
    producer: AIOKafkaProducer, messages: Iterable[Message], sent: "list[asyncio.Future[Any]]"
) -> None:
    """Send messages in as few batches as possible; adds to ``sent`` each batch's acknowledgement, also if it raises.

    aiokafka's ``send`` also makes batches, but with a coroutine, a future and callbacks per record.
    """
    batches: dict[tuple[str, int], list[Any]] = {}
    for topic, partition, key, value, headers in messages:
        filled = batches.setdefault((topic, partition), [])
        if not filled or not filled[-1].append(timestamp=None, key=key, value=value, headers=headers):
            filled.append(producer.create_batch())
            # The first record of a batch may be larger than the batch.
            filled[-1].append(timestamp=None, key=key, value=value, headers=headers)
    # The producer takes one batch of a partition at a time, so the first ones of all partitions go first.
    for row in zip_longest(*batches.values()):
        for (topic, partition), batch in zip(batches, row, strict=True):
            if batch is not None:
                sent.append(await producer.send_batch(batch, topic, partition=partition))


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
