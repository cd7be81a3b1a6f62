"""Services that die in mid-stream, and a log that is read twice: one event per window, and the same one."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from gaitway.replay import Watch, replay
from services.features.baseline_store import BaselineStore
from shared.contracts import topics
from tests.e2e.harness import (
    PARTITIONS,
    Event,
    Pipeline,
    assert_once_each,
    assert_same_baselines,
    expected,
    start_all,
    terminate,
    until,
)

SPEED = 25.0
"""The late part takes six seconds: enough for a service to come back, so that uploads find it dead and alive."""
BEFORE = 8
"""Events to wait for before the blow."""


@pytest.mark.parametrize(
    "victims", [("features",), ("inference",), ("features", "inference")], ids=lambda names: "+".join(names)
)
async def test_kill_9_in_mid_stream(
    pipeline: Pipeline, two_parts: dict[str, tuple[Path, Path]], victims: tuple[str, ...]
) -> None:
    watches = pipeline.in_two_parts(two_parts)
    servers = [pipeline.services[name] for name in victims]
    async with pipeline.tail() as seen:
        await replay(watches.early, pipeline.url, float("inf"))
        await until(lambda: len(seen) >= BEFORE, "the first events")
        sending = asyncio.create_task(replay(watches.late, pipeline.url, SPEED))
        await until(lambda: all(watch.sent for watch in watches.late), "uploads of the late part")
        first_lives = [server.pid for server in servers]
        killed_at_ms = time.time() * 1000
        for server in servers:
            server.kill()
        assert not sending.done()
        await asyncio.to_thread(start_all, servers)
        await sending
    await pipeline.settle()
    events = await pipeline.events()

    assert all(server.pid != pid for server, pid in zip(servers, first_lives, strict=True))
    assert {event.data["published_at_ms"] < killed_at_ms for event in events} == {True, False}
    assert_once_each(events, watches.expected)
    assert_same_baselines(events, watches.offline)


async def test_sigterm_of_each_service_in_mid_stream(
    start_pipeline: Callable[..., Pipeline], two_parts: dict[str, tuple[Path, Path]]
) -> None:
    # Without the gateway there are no uploads, and when it is back the log's time has moved on by as much.
    pipeline = start_pipeline(grace_s=30)
    watches = pipeline.in_two_parts(two_parts)
    servers = (pipeline.features, pipeline.inference, pipeline.ingest)
    async with pipeline.tail() as seen:
        await replay(watches.early, pipeline.url, float("inf"))
        await until(lambda: len(seen) >= BEFORE, "the first events")
        sending = asyncio.create_task(replay(watches.late, pipeline.url, SPEED))
        await until(lambda: all(watch.sent for watch in watches.late), "uploads of the late part")
        codes = await asyncio.gather(*(terminate(server) for server in servers))
        assert not sending.done()
        before = len(seen)
        await asyncio.to_thread(start_all, servers)
        await sending
    await pipeline.settle_windows(watches.expected)
    events = await pipeline.events()

    assert codes == [0, 0, 0]
    assert 0 < before < len(events)
    assert_once_each(events, watches.expected)
    assert_same_baselines(events, watches.offline)


@pytest.mark.parametrize("redis_is_empty", [False, True], ids=["baselines kept", "baselines lost"])
async def test_the_whole_log_again_gives_no_second_event(
    start_pipeline: Callable[..., Pipeline], even: dict[str, Path], redis_is_empty: bool
) -> None:
    pipeline = start_pipeline(grace_s=2, session_timeout_ms=6_000)
    watches = [pipeline.watch(path) for path in even.values()]
    wanted = expected(even, watches)
    await replay(watches, pipeline.url, float("inf"))
    await pipeline.settle()
    events = await pipeline.events()
    assert_once_each(events, wanted)
    windows_end = await pipeline.end_offsets(topics.WINDOWS.name)

    await send_again(pipeline, watches, events)
    assert await pipeline.end_offsets(topics.WINDOWS.name) == windows_end

    for server in (pipeline.features, pipeline.inference):
        server.kill()
    await rewind(pipeline, "features", *(spec.name for spec in topics.SAMPLE_TOPICS.values()))
    await rewind(pipeline, "inference", topics.WINDOWS.name)
    if redis_is_empty:
        await forget_baselines(pipeline)
    await asyncio.to_thread(start_all, (pipeline.features, pipeline.inference))
    await pipeline.settle()

    assert await pipeline.events() == events
    assert await pipeline.metric("features", "gaitway_features_records_total") > 0
    again = sum((await pipeline.end_offsets(topics.WINDOWS.name)).values()) - sum(windows_end.values())
    # Final windows are known from Redis; when it is empty features makes all of them again, and the ledger knows them.
    assert again == (len(wanted) if redis_is_empty else 0)
    assert await pipeline.metric("inference", "gaitway_inference_duplicate_windows_total") == len(wanted) + again


async def send_again(pipeline: Pipeline, watches: list[Watch], events: list[Event]) -> None:
    """The same uploads, byte for byte, change nothing."""
    late = await pipeline.metric("features", "gaitway_features_late_samples_total")
    await replay(watches, pipeline.url, float("inf"))
    await pipeline.settle()
    assert await pipeline.metric("features", "gaitway_features_late_samples_total") > late
    assert await pipeline.events() == events


async def rewind(pipeline: Pipeline, group: str, *names: str) -> None:
    """Set a group's offsets to the beginning, which the broker allows once the dead member's session is over."""
    group_id = pipeline.prefix + group
    admin = AIOKafkaAdminClient(bootstrap_servers=pipeline.kafka)
    consumer = AIOKafkaConsumer(bootstrap_servers=pipeline.kafka, group_id=group_id, enable_auto_commit=False)
    await admin.start()
    await consumer.start()

    async def is_empty() -> bool:
        (answer,) = await admin.describe_consumer_groups([group_id])
        return answer.groups[0][2] == "Empty"

    try:
        await until(is_empty, f"group {group_id} to be empty", pause_s=0.3)
        beginning = {TopicPartition(pipeline.prefix + name, p): 0 for name in names for p in range(PARTITIONS)}
        consumer.assign(list(beginning))
        await consumer.commit(beginning)
    finally:
        await consumer.stop()
        await admin.close()


async def forget_baselines(pipeline: Pipeline) -> None:
    store = BaselineStore(pipeline.redis, pipeline.redis_prefix)
    try:
        await store.delete_all()
    finally:
        await store.close()
