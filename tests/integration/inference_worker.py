"""A worker of inference in the process of the test, and windows for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.inference.classifier import Classifier
from services.inference.consumer import WindowConsumer
from services.inference.rollout import RollOutMonitor
from services.inference.settings import InferenceSettings
from shared.contracts import topics
from shared.kafka.health import ConsumerHealth
from shared.runtime.clock import system_clock
from tests.integration.kafka_io import NOT_UTF8, producer, write_names_that_are_not_utf8

PARTITIONS = 2


def settings(kafka: str, prefix: str, **changes: object) -> InferenceSettings:
    """Those of a quick worker."""
    values = {
        "kafka": kafka,
        "topic_prefix": prefix,
        "partitions": PARTITIONS,
        "session_timeout_ms": 6_000,
        "transaction_interval_ms": 20,
    }
    return InferenceSettings(**values | changes)


@asynccontextmanager
async def running(
    kafka: str,
    prefix: str,
    classifier: Classifier,
    health: ConsumerHealth | None = None,
    *,
    rollout: RollOutMonitor | None = None,
    **changes: object,
) -> AsyncIterator[WindowConsumer]:
    """A worker that consumes until the end of the block."""
    stop = asyncio.Event()
    health = health or ConsumerHealth()
    worker = WindowConsumer(settings(kafka, prefix, **changes), classifier, health, system_clock, rollout)
    work = asyncio.create_task(worker.run(stop))
    try:
        yield worker
    finally:
        stop.set()
        await asyncio.wait_for(work, 60)


async def send(
    kafka: str,
    prefix: str,
    *values: bytes | None,
    partition: int = 0,
    key: bytes | None = b"u1",
    header: str = "traceparent",
) -> None:
    """Write windows as features does."""
    async with producer(kafka) as windows:
        if header == NOT_UTF8:
            write_names_that_are_not_utf8(windows)
        for value in values:
            await windows.send_and_wait(
                prefix + topics.WINDOWS.name, value, key=key, partition=partition, headers=[(header, b"x")]
            )
