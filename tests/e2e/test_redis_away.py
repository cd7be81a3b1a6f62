"""Redis away in mid-stream: windows and events go on, /readyz says so, and nothing is lost when it is back."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gaitway.embedded import ValkeyServer
from gaitway.replay import replay
from tests.e2e.harness import (
    Event,
    Pipeline,
    as_json,
    assert_once_each,
    assert_same_baselines,
    expected,
    offline,
    terminate,
    until,
)
from tests.recordings import cut

SPEED = 25.0


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


def leave(valkey: ValkeyServer, how: str) -> None:
    if how == "stopped":
        os.kill(valkey.pid, signal.SIGSTOP)
    else:
        valkey.kill()


async def come_back(valkey: ValkeyServer, how: str) -> None:
    if how == "stopped":
        os.kill(valkey.pid, signal.SIGCONT)
    else:
        await asyncio.to_thread(valkey.start)


def baselines_of(events: list[Event], user: str) -> list[tuple[str, str]]:
    """States of a user's baselines, in the order of the events."""
    baselines = [event.data["baseline"] for event in events if event.key == user]
    return [(baseline["accelerometer"]["state"], baseline["heart_rate"]["state"]) for baseline in baselines]


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_windows_go_on_without_redis(
    start_pipeline: Callable[..., Pipeline],
    valkey: ValkeyServer,
    even: dict[str, Path],
    two_parts: dict[str, tuple[Path, Path]],
    how: str,
) -> None:
    pipeline = start_pipeline(redis=valkey.url, grace_s=10)
    # One user whose baseline is in memory when Redis goes, and one who comes while it is away.
    known = pipeline.in_two_parts({"e4-S03": two_parts["e4-S03"]})
    stranger = pipeline.watch(even["wisdm-1600"])
    wanted = known.expected | expected(even, [stranger])
    async with pipeline.tail() as seen:
        await replay(known.early, pipeline.url, float("inf"))
        await until(lambda: len(seen) >= 3, "the first events")
        sending = asyncio.create_task(replay(known.late, pipeline.url, SPEED))
        await until(lambda: known.late[0].sent, "uploads of the late part")
        leave(valkey, how)
        before = len(seen)
        assert not sending.done()

        async def says_so() -> bool:
            status, waiting = await pipeline.readiness("features")
            return status == 503 and "redis" in waiting

        await until(says_so, "/readyz of features to miss Redis")
        await replay([stranger], pipeline.url, float("inf"))
        await until(lambda: {user for user, _ in seen[before:]} == {"e4-S03", stranger.name}, "events")
        await sending
        await until(lambda: wanted <= set(seen), "all events without Redis")
        await come_back(valkey, how)

    async def is_ready() -> bool:
        return (await pipeline.readiness("features"))[0] == 200

    await until(is_ready, "/readyz of features to find Redis")
    await pipeline.settle()
    events = await pipeline.events()

    assert_once_each(events, wanted)
    assert set(baselines_of(events, stranger.name)) == {("unavailable", "unavailable")}
    # In memory the baseline has followed the user all the time.
    assert_same_baselines((event for event in events if event.key == "e4-S03"), known.offline)


async def test_a_flush_is_a_cold_start(
    start_pipeline: Callable[..., Pipeline], valkey: ValkeyServer, tmp_path: Path
) -> None:
    pipeline = start_pipeline(redis=valkey.url, grace_s=2)
    first = pipeline.watch(cut("e4-S03", tmp_path / "first", to_s=90))
    second = pipeline.watch(cut("e4-S03", tmp_path / "second", from_s=90, to_s=178), shift_ms=first.shift_ms)
    await replay([first], pipeline.url, float("inf"))
    await pipeline.settle()

    assert await terminate(pipeline.features) == 0
    async with Redis.from_url(valkey.url) as client:
        assert await client.dbsize() == 1
        await client.flushall()
    await asyncio.to_thread(pipeline.features.start)
    await replay([second], pipeline.url, float("inf"))
    await pipeline.settle()
    events = await pipeline.events()

    wanted = {**offline([first]), **offline([second])}
    assert_once_each(events, wanted.keys())
    # What was learnt before the flush is gone: the second part begins as if it were the user's first.
    assert {event.window: event.data["baseline"] for event in events} == {
        key: as_json(found) for key, found in wanted.items()
    }
