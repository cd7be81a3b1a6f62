"""What docs/operations.md tells an operator to do, done: more partitions, a bundle taken back, a user erased."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from redis.asyncio import Redis

from gaitway.demo.processes import ServiceProcess
from gaitway.replay import Watch, replay
from shared.contracts import topics
from shared.contracts.users import partition_of
from tests.e2e import harness
from tests.e2e.harness import Pipeline, as_json, assert_once_each, assert_same_baselines, offline, terminate, until
from tests.e2e.test_kill import rewind
from tests.recordings import cut

MORE = 8
HALF_S = 90


def halves(pipeline: Pipeline, folder: Path, name: str, person: str) -> tuple[Watch, Watch]:
    """A recording as two uploads' worth of one watch, the second following the first on the clock."""
    first = pipeline.watch(cut(name, folder / "first", to_s=HALF_S, person=person))
    second = cut(name, folder / "second", from_s=HALF_S, to_s=178, person=person)
    return first, pipeline.watch(second, shift_ms=first.shift_ms)


def baselines_by_person(pairs: list[tuple[Watch, Watch]]) -> dict:
    """The windows of the offline path, a person's two halves on one baseline."""
    found = {}
    for first, second in pairs:
        windows = harness.offline_windows([first.recording, second.recording], user=first.name)
        found |= {(first.name, window.raw.window_start_ms + first.shift_ms): window for window in windows}
    return found


async def test_restart_with_more_partitions_loses_no_window(
    start_pipeline: Callable[..., Pipeline], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = start_pipeline(grace_s=2, session_timeout_ms=6_000)
    moves = [f"u{n}" for n in range(50) if partition_of(f"u{n}", harness.PARTITIONS) != partition_of(f"u{n}", MORE)]
    pairs = [halves(pipeline, tmp_path, "e4-S03", moves[0]), halves(pipeline, tmp_path, "e4-S03", moves[1])]
    first, second = ([pair[half] for pair in pairs] for half in (0, 1))
    wanted = baselines_by_person(pairs)

    # Drained: nothing open, nothing behind, while the gateway still ticks.
    await replay(first, pipeline.url, float("inf"))

    async def nothing_open() -> bool:
        return await pipeline.metric("features", "gaitway_features_open_windows") == 0

    await pipeline.settle()
    await until(nothing_open, "all windows to close")
    await pipeline.settle()
    for service in pipeline.services.values():
        assert await terminate(service) == 0
        await asyncio.to_thread(service.stop)
    await widen(pipeline)
    # A static member that is back before its session is over gets its old partitions, and nobody the new ones.
    for group in ("features", "inference"):
        await group_is_empty(pipeline, group)

    monkeypatch.setattr(harness, "PARTITIONS", MORE)
    wider = start_pipeline(grace_s=2)
    await replay(second, wider.url, float("inf"))
    await wider.settle()
    events = await wider.events()
    assert_once_each(events, wanted.keys())
    assert_same_baselines(events, wanted)
    assert {event.partition for event in events} > {partition_of(user, MORE) for user in moves[:2]}

    # What was uploaded before is known from Redis, though the ledger of it lies in another partition.
    await replay(first, wider.url, float("inf"))
    await wider.settle()
    assert await wider.events() == events


async def group_is_empty(pipeline: Pipeline, group: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=pipeline.kafka)
    await admin.start()

    async def is_empty() -> bool:
        (answer,) = await admin.describe_consumer_groups([pipeline.prefix + group])
        return answer.groups[0][2] == "Empty"

    try:
        await until(is_empty, f"group {group} to be empty", pause_s=0.3)
    finally:
        await admin.close()


async def widen(pipeline: Pipeline) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=pipeline.kafka)
    await admin.start()
    try:
        await admin.create_partitions({pipeline.prefix + spec.name: NewPartitions(MORE) for spec in topics.ALL_TOPICS})
    finally:
        await admin.close()


async def test_another_partition_count_stops_the_start(pipeline: Pipeline) -> None:
    variables = {"kafka": pipeline.kafka, "topic_prefix": pipeline.prefix, "jwt_key": harness.JWT_KEY}
    with pytest.raises(Exception, match=f"has {harness.PARTITIONS} partitions, not {MORE}"):
        ServiceProcess("ingest", variables | {"partitions": MORE}).start()


async def test_events_of_a_wrong_bundle_are_made_again_after_rollback(
    start_pipeline: Callable[..., Pipeline], tmp_path: Path, bundle: Path
) -> None:
    pipeline = start_pipeline(grace_s=2, session_timeout_ms=6_000)
    first, second = halves(pipeline, tmp_path, "e4-S03", "u1")
    wanted = baselines_by_person([(first, second)])
    await replay([first], pipeline.url, float("inf"))
    await pipeline.settle()
    before = len(await pipeline.events())

    wrong = tmp_path / "wrong"
    shutil.copytree(bundle, wrong)
    manifest = json.loads((wrong / "manifest.json").read_text())
    (wrong / "manifest.json").write_text(json.dumps(manifest | {"name": "wrong"}))
    good = pipeline.inference
    await serve_with(pipeline, wrong, tmp_path)
    await replay([second], pipeline.url, float("inf"))
    await pipeline.settle()

    assert await terminate(pipeline.inference) == 0
    await asyncio.to_thread(pipeline.inference.stop)
    await rewind(pipeline, "inference", topics.WINDOWS.name)
    pipeline.inference = pipeline.services["inference"] = good
    await asyncio.to_thread(good.start)
    await pipeline.settle()

    events = await pipeline.events()
    by_model = {name: [e for e in events if e.data["model"] == name] for name in ("random@0.0.1", "wrong@0.0.1")}
    assert_once_each(by_model["random@0.0.1"], wanted.keys())
    assert 0 < before < len(wanted)
    assert len(by_model["wrong@0.0.1"]) == len(wanted) - before
    assert await pipeline.metric("inference", "gaitway_inference_duplicate_windows_total") == before


async def serve_with(pipeline: Pipeline, model: Path, folder: Path) -> None:
    """Another inference in the place of the one that runs."""
    assert await terminate(pipeline.inference) == 0
    await asyncio.to_thread(pipeline.inference.stop)
    variables = {"kafka": pipeline.kafka, "topic_prefix": pipeline.prefix, "partitions": harness.PARTITIONS}
    other = ServiceProcess("inference", variables | {"model": model}, data_dir=folder / "other")
    pipeline.inference = pipeline.services["inference"] = other
    await asyncio.to_thread(other.start)


async def test_a_user_erased_from_redis_comes_back_unless_features_forgets_first(
    start_pipeline: Callable[..., Pipeline], tmp_path: Path
) -> None:
    pipeline = start_pipeline(grace_s=2)
    first, second = halves(pipeline, tmp_path, "e4-S03", "u1")
    key = f"{pipeline.redis_prefix}user:u1"
    async with Redis.from_url(pipeline.redis) as client:
        await replay([first], pipeline.url, float("inf"))
        await pipeline.settle()
        assert await client.delete(key) == 1
        # In memory the user lives on, and the next window writes all of it again.
        await replay([second], pipeline.url, float("inf"))
        await pipeline.settle()
        assert_same_baselines(await pipeline.events(), baselines_by_person([(first, second)]))
        assert await client.exists(key)

        assert await terminate(pipeline.features) == 0
        await asyncio.to_thread(pipeline.features.stop)
        assert await client.delete(key) == 1
        await asyncio.to_thread(pipeline.features.start)
        third = pipeline.watch(
            cut("e4-S03", tmp_path / "third", from_s=190, to_s=260, person="u1"), shift_ms=first.shift_ms
        )
        before = len(await pipeline.events())
        await replay([third], pipeline.url, float("inf"))
        await pipeline.settle()
        events = (await pipeline.events())[before:]
        wanted = offline([third])
        assert {event.window: event.data["baseline"] for event in events} == {
            window: as_json(found) for window, found in wanted.items()
        }
