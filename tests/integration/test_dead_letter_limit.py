"""A service that rejects too much of what it reads ends with one line, and nothing of it is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from shared.contracts import topics
from shared.contracts.samples import TICK
from shared.kafka.admin import ensure_topics
from tests.bundles import random_bundle
from tests.integration.kafka_io import commits, headers_of, producer, read
from tests.integration.test_features_kafka import serve
from tests.services.inference.windows import window

PARTITIONS = 2
POISON = 30


@pytest.fixture
async def bus(kafka, topic_prefix) -> str:
    """The prefix of topics that exist."""
    await ensure_topics(kafka, topic_prefix, PARTITIONS, 1)
    return topic_prefix


@contextlib.asynccontextmanager
async def ticking(kafka: str, prefix: str) -> AsyncIterator[AIOKafkaProducer]:
    async with producer(kafka) as anybody:

        async def tick() -> None:
            while True:
                for spec in topics.SAMPLE_TOPICS.values():
                    for partition in range(PARTITIONS):
                        await anybody.send(prefix + spec.name, TICK, partition=partition)
                await asyncio.sleep(0.1)

        work = asyncio.create_task(tick())
        try:
            yield anybody
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work


async def ends_with_one_line(service: str, settings: dict[str, object]) -> None:
    ended = await asyncio.to_thread(serve, service, **settings)
    assert ended.returncode == 1, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("gaitway: ")
    assert "records were rejected, 50% are allowed: see the reasons in the headers of watch.rejected" in last
    assert "Traceback" not in ended.stderr


async def dead_letters(kafka: str, prefix: str) -> list[int]:
    found = await read(kafka, prefix + topics.REJECTED.name, PARTITIONS)
    return sorted({int(headers_of(record)["origin_offset"]) for record in found})


async def test_features_over_the_limit_stops_and_keeps_every_dead_letter(kafka, bus, redis_url, redis_prefix):
    name = bus + topics.SAMPLE_TOPICS["steps"].name
    settings = {
        "kafka": kafka,
        "topic_prefix": bus,
        "partitions": PARTITIONS,
        "redis": redis_url,
        "redis_prefix": redis_prefix,
        "dlq_min_records": 20,
        "log_level": "ERROR",
    }
    async with ticking(kafka, bus) as anybody:
        sent = [await anybody.send_and_wait(name, b"\xc1", key=b"u1", partition=0) for _ in range(POISON)]
        await ends_with_one_line("features", settings)
    assert set(await dead_letters(kafka, bus)) <= {item.offset for item in sent}
    assert len(await dead_letters(kafka, bus)) >= 20


async def test_inference_over_the_limit_stops_and_keeps_every_dead_letter(kafka, bus, tmp_path):
    name = bus + topics.WINDOWS.name
    settings = {
        "kafka": kafka,
        "topic_prefix": bus,
        "partitions": PARTITIONS,
        "model": random_bundle(tmp_path / "bundle"),
        "dlq_min_records": 20,
        "log_level": "ERROR",
    }
    async with producer(kafka) as anybody:
        await anybody.send_and_wait(name, window(0).encode(), key=b"u1", partition=0)
        for _ in range(POISON):
            await anybody.send_and_wait(name, b"\xc1", key=b"u1", partition=0)
    await ends_with_one_line("inference", settings)
    offsets = {tp: commit.offset for tp, commit in (await commits(kafka, f"{bus}inference")).items()}
    passed = offsets[TopicPartition(name, 0)]
    assert await dead_letters(kafka, bus) == list(range(1, passed))
    assert passed >= 20
    assert len(await read(kafka, bus + topics.EVENTS.name, PARTITIONS)) == 1
