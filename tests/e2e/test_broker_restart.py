"""The broker killed and started again in mid-stream: watches are asked to wait, no service dies, nothing is lost."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from gaitway.embedded import FAST_RESTART, KafkaBroker
from gaitway.replay import Watch, replay
from tests.e2e.harness import Pipeline, assert_once_each, assert_same_baselines, terminate, until

SPEED = 25.0


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker(properties=FAST_RESTART) as broker:
        yield broker


async def test_kill_9_of_the_broker_in_mid_stream(
    broker: KafkaBroker, start_pipeline: Callable[..., Pipeline], two_parts: dict[str, tuple[Path, Path]]
) -> None:
    # While the broker is away the log stands still; its time does not. On a busy machine it is away for a while.
    pipeline = start_pipeline(kafka=broker.bootstrap_servers, grace_s=45)
    lives = {name: server.pid for name, server in pipeline.services.items()}
    watches = pipeline.in_two_parts(two_parts)
    async with pipeline.tail() as seen:
        await replay(watches.early, pipeline.url, float("inf"))
        await until(lambda: len(seen) >= 6, "the first events")
        sending = asyncio.create_task(replay(watches.late, pipeline.url, SPEED))
        await until(lambda: all(watch.sent for watch in watches.late), "uploads of the late part")
        before_kill = len(seen)
        broker.kill()
        assert not sending.done()
        answer = await upload_once(pipeline, watches.early[0])
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        await asyncio.to_thread(broker.start)
        await sending
    await pipeline.settle_windows(watches.expected)
    events = await pipeline.events()

    assert {name: server.pid for name, server in pipeline.services.items()} == lives
    assert sum(watch.retries for watch in watches.late) > 0
    assert 0 < before_kill < len(events)
    assert_once_each(events, watches.expected)
    assert_same_baselines(events, watches.offline)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in mid-batch"])
async def test_sigterm_while_the_broker_is_away(
    broker: KafkaBroker, start_pipeline: Callable[..., Pipeline], even: dict[str, Path], busy: bool
) -> None:
    pipeline = start_pipeline(kafka=broker.bootstrap_servers, grace_s=2)
    watch = pipeline.watch(even["e4-S03"])
    await replay([watch], pipeline.url, float("inf"))
    if busy:
        # The windows that the grace period closes meanwhile find no broker.
        await until(lambda: pipeline.metric("features", "gaitway_features_windows_total"), "the first windows")
        broker.kill()
        await asyncio.sleep(4)
    else:
        await pipeline.settle()
        broker.kill()
    codes = await asyncio.gather(*(terminate(server) for server in pipeline.services.values()))
    assert codes == [0, 0, 0]


async def upload_once(pipeline: Pipeline, watch: Watch) -> httpx.Response:
    """An upload that the watch has sent already: what becomes of it changes nothing."""
    headers = {"Authorization": f"Bearer {watch.token}"}
    body = msgspec.json.encode(watch.uploads[0])
    async with httpx.AsyncClient(base_url=pipeline.url, timeout=30, trust_env=False) as client:
        return await client.post("/v1/uploads", content=body, headers=headers)
