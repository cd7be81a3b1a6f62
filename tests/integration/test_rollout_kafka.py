"""A roll-out on a real broker: shadow, promotion and rollback while a worker consumes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaConnectionError
from prometheus_client import REGISTRY

from services.inference import rollout as rollout_module
from services.inference import shadow as shadow_module
from services.inference import shadow_producer
from services.inference.consumer import WindowConsumer
from services.inference.rollout import RollOutMonitor
from shared.contracts import topics
from shared.contracts.event import event_id
from shared.kafka.admin import ensure_topics
from shared.model.bundle import WEIGHTS, load_bundle
from shared.model.rollout import RollOut, write_rollout
from shared.runtime.metrics import SHADOW_OUTCOMES
from tests.bundles import random_bundle
from tests.integration.inference_worker import PARTITIONS, running, send
from tests.integration.kafka_io import delete, headers_of, read, read_until
from tests.services.inference.windows import window
from tests.shared.windows.signals import BASE_MS, HOP_MS

OLD, NEW = "random@0.0.1", "random@0.0.2"


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_module, "POLL_S", 0.05)


@pytest.fixture
async def bus(kafka: str, topic_prefix: str) -> str:
    """The prefix of topics that exist."""
    await ensure_topics(kafka, topic_prefix, PARTITIONS, 1)
    return topic_prefix


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    random_bundle(folder / "old")
    random_bundle(folder / "new", version="0.0.2", seed=1)
    return folder


class Worker:
    """A worker that follows its own roll-out file."""

    def __init__(self, bundles: Path, file: Path, consumer: WindowConsumer, monitor: RollOutMonitor) -> None:
        self._bundles = bundles
        self._file = file
        self.consumer = consumer
        self.monitor = monitor

    async def follow(self, live: str, shadow: str | None = None) -> None:
        """Change the file, and wait until the worker runs what it says."""
        write_file(self._bundles, self._file, live, shadow)
        wanted = live, shadow
        await until(lambda: (name(self.monitor.models.live), name(self.monitor.models.shadow)) == wanted)


def write_file(bundles: Path, file: Path, live: str, shadow: str | None = None) -> None:
    write_rollout(file, RollOut(str(bundles / live), None if shadow is None else str(bundles / shadow)))


def name(classifier: Any) -> str | None:
    return {None: None, OLD: "old", NEW: "new"}[classifier and classifier.name.name_version]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def following(
    kafka: str, prefix: str, bundles: Path, file: Path, live: str = "old", shadow: str | None = None, **changes: object
) -> AsyncIterator[Worker]:
    write_file(bundles, file, live, shadow)
    monitor = RollOutMonitor(file, threads=1)
    try:
        async with running(kafka, prefix, monitor.models.live, rollout=monitor, **changes) as consumer:
            worker = Worker(bundles, file, consumer, monitor)
            await worker.follow(live, shadow)
            yield worker
    finally:
        monitor.close()


async def write_windows(kafka: str, prefix: str, *indices: int) -> None:
    for partition in range(PARTITIONS):
        some = [window(i).encode() for i in indices if i % PARTITIONS == partition]
        await send(kafka, prefix, *some, partition=partition)


async def events(kafka: str, prefix: str, count: int, spec: topics.TopicSpec = topics.EVENTS) -> list[ConsumerRecord]:
    """So many events or more, as a consumer gets them."""
    await read_until(kafka, prefix + spec.name, PARTITIONS, lambda found: len(found) >= count)
    return await read(kafka, prefix + spec.name, PARTITIONS)


def models(found: list[ConsumerRecord]) -> list[tuple[int, str]]:
    """The index of each event's window and its model, in order."""
    data = [json.loads(record.value) for record in found]
    return sorted(((event["window_start_ms"] - BASE_MS) // HOP_MS, event["model"]) for event in data)


def outcomes() -> dict[str, float]:
    return {
        outcome: REGISTRY.get_sample_value("gaitway_inference_shadow_windows_total", {"outcome": outcome}) or 0.0
        for outcome in SHADOW_OUTCOMES
    }


def rise(before: dict[str, float]) -> dict[str, float]:
    return {outcome: count - before[outcome] for outcome, count in outcomes().items() if count != before[outcome]}


async def test_promotion_and_rollback_give_each_window_one_event_of_the_model_that_was_live(
    kafka: str, bus: str, bundles: Path, tmp_path: Path
) -> None:
    async with following(kafka, bus, bundles, tmp_path / "rollout.json") as worker:
        expected = []
        for step, (live, shadow, model) in enumerate(
            [("old", None, OLD), ("old", "new", OLD), ("new", None, NEW), ("old", None, OLD)]
        ):
            await worker.follow(live, shadow)
            indices = range(4 * step, 4 * step + 4)
            await write_windows(kafka, bus, *indices)
            expected += [(index, model) for index in indices]
            assert models(await events(kafka, bus, len(expected))) == expected
    loaded = {model: load_bundle(bundles / folder) for model, folder in ((OLD, "old"), (NEW, "new"))}
    for record in await events(kafka, bus, len(expected)):
        event = json.loads(record.value)
        source = window((event["window_start_ms"] - BASE_MS) // HOP_MS)
        [row] = loaded[event["model"]].probabilities(
            [source.features], [source.mask], [source.baseline.accelerometer.mg]
        )
        assert list(event["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-6)


async def test_a_promotion_while_windows_come_loses_and_doubles_none(
    kafka: str, bus: str, bundles: Path, tmp_path: Path
) -> None:
    async with following(kafka, bus, bundles, tmp_path / "rollout.json") as worker:
        await write_windows(kafka, bus, 0, 1)
        await events(kafka, bus, sent := 2)
        for live in ("new", "old", "new"):
            switching = asyncio.create_task(worker.follow(live))
            # Windows go on coming until the switch, and one batch after it.
            while not switching.done():
                await write_windows(kafka, bus, sent, sent + 1)
                sent += 2
            await switching
            await write_windows(kafka, bus, sent, sent + 1)
            sent += 2
            await events(kafka, bus, sent)
        found = await events(kafka, bus, sent)
    assert [index for index, _ in models(found)] == list(range(sent))
    for partition in range(PARTITIONS):
        names = [json.loads(record.value)["model"] for record in found if record.partition == partition]
        switches = [after for before, after in pairwise(names) if after != before]
        assert switches == [NEW, OLD, NEW]


async def test_windows_that_come_again_after_a_promotion_get_no_second_event(
    kafka: str, bus: str, bundles: Path, tmp_path: Path
) -> None:
    file = tmp_path / "rollout.json"
    async with following(kafka, bus, bundles, file) as worker:
        await write_windows(kafka, bus, 0, 1, 2, 3)
        await events(kafka, bus, 4)
        await worker.follow("new")
        await write_windows(kafka, bus, 0, 1, 2, 3, 4, 5)
        expected = [*((index, OLD) for index in range(4)), (4, NEW), (5, NEW)]
        assert models(await events(kafka, bus, 6)) == expected
    # A worker that begins with the new bundle knows them from the topic; one that rolls back, too.
    for live, model in (("new", NEW), ("old", OLD)):
        async with following(kafka, bus, bundles, file, live):
            index = len(expected)
            await write_windows(kafka, bus, *range(index), index)
            expected.append((index, model))
            assert models(await events(kafka, bus, index + 1)) == expected


async def test_a_partition_that_moves_between_workers_of_two_models_gives_no_second_event(
    kafka: str, bus: str, bundles: Path, tmp_path: Path
) -> None:
    async with following(kafka, bus, bundles, tmp_path / "a.json", instance="a") as first:
        await write_windows(kafka, bus, 0, 1)
        await events(kafka, bus, 2)
        # It is some seconds ahead of the first.
        async with following(kafka, bus, bundles, tmp_path / "b.json", "new", instance="b") as second:
            workers = (first.consumer, second.consumer)
            await until(lambda: [len(worker._processor.producers) for worker in workers] == [1, 1])
            await write_windows(kafka, bus, 0, 1, 2, 3)
            found = models(await events(kafka, bus, 4))
            assert [index for index, _ in found] == [0, 1, 2, 3]
            assert {model for _, model in found[2:]} == {OLD, NEW}
        # Its partition comes back to the first, which has not switched yet.
        await until(lambda: len(first.consumer._processor.producers) == PARTITIONS)
        await write_windows(kafka, bus, *range(6))
        found = models(await events(kafka, bus, 6))
        assert [index for index, _ in found] == list(range(6))


async def test_a_bundle_that_does_not_fit_is_refused_and_events_go_on(
    kafka: str, bus: str, bundles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    random_bundle(tmp_path / "broken", version="0.0.3")
    (tmp_path / "broken" / WEIGHTS).write_bytes(b"")
    async with following(kafka, bus, bundles, tmp_path / "rollout.json") as worker:
        write_file(tmp_path, tmp_path / "rollout.json", "broken", "broken")
        await until(lambda: caplog.text.count("bundle refused") == 2)
        await write_windows(kafka, bus, 0, 1)
        assert models(await events(kafka, bus, 2)) == [(0, OLD), (1, OLD)]
        assert worker.consumer._health.not_ready == {}
        await worker.follow("new")
        await write_windows(kafka, bus, 2, 3)
        assert models(await events(kafka, bus, 4))[2:] == [(2, NEW), (3, NEW)]


async def test_the_shadows_events_are_on_their_own_topic(kafka: str, bus: str, bundles: Path, tmp_path: Path) -> None:
    before = outcomes()
    async with following(kafka, bus, bundles, tmp_path / "rollout.json", "old", "new"):
        await write_windows(kafka, bus, *range(6), 0, 1)
        live = await events(kafka, bus, 6)
        found = await events(kafka, bus, 6, topics.SHADOW_EVENTS)
        await until(lambda: sum(rise(before).values()) >= 6)
    assert models(live) == [(index, OLD) for index in range(6)]
    assert models(found) == [(index, NEW) for index in range(6)]
    model = load_bundle(bundles / "new")
    places = {json.loads(record.value)["window_start_ms"]: (record.partition, record.key) for record in live}
    same = 0
    for record in found:
        event = json.loads(record.value)
        source = window((event["window_start_ms"] - BASE_MS) // HOP_MS)
        [row] = model.probabilities([source.features], [source.mask], [source.baseline.accelerometer.mg])
        assert list(event["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-6)
        assert (record.partition, record.key) == places[event["window_start_ms"]]
        headers = headers_of(record)
        assert headers["ce_id"].decode() == event_id("u1", "watch", event["window_start_ms"], HOP_MS, NEW)
        assert headers["traceparent"] == b"x"
        [twin] = [each for each in map(json_of, live) if each["window_start_ms"] == event["window_start_ms"]]
        same += twin["activity"] == event["activity"]
    counted = {"same": float(same), "different": float(6 - same)}
    assert rise(before) == {outcome: count for outcome, count in counted.items() if count}


def json_of(record: ConsumerRecord) -> dict[str, Any]:
    return json.loads(record.value)


async def test_a_shadow_that_fails_costs_the_live_model_nothing(
    kafka: str, bus: str, bundles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(kafka, bus, bundles, tmp_path / "rollout.json", "old", "new") as worker:

        async def fail(_windows: object) -> None:
            raise RuntimeError("shapes do not match")

        worker.monitor.models.shadow.compute = fail
        before = outcomes()
        await write_windows(kafka, bus, *range(4))
        assert models(await events(kafka, bus, 4)) == [(index, OLD) for index in range(4)]
        await until(lambda: rise(before) == {"failed": 4})
        await write_windows(kafka, bus, 4, 5)
        assert len(await events(kafka, bus, 6)) == 6
    assert "shapes do not match" in caplog.text
    assert await read(kafka, bus + topics.SHADOW_EVENTS.name, PARTITIONS) == []


async def test_a_shadow_that_never_ends_skips_windows_and_the_live_model_goes_on(
    kafka: str, bus: str, bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_module, "MAX_WAITING", 3)
    async with following(kafka, bus, bundles, tmp_path / "rollout.json", "old", "new") as worker:
        endless = asyncio.Event()
        compute = worker.monitor.models.shadow.compute

        async def wait(windows: Any) -> Any:
            await endless.wait()
            return await compute(windows)

        worker.monitor.models.shadow.compute = wait
        before = outcomes()
        for index in range(12):
            await write_windows(kafka, bus, index)
            assert len(await events(kafka, bus, index + 1)) == index + 1
        # One is in the model's hands, three wait.
        await until(lambda: rise(before) == {"skipped": 8})
        endless.set()
        await until(lambda: sum(rise(before).values()) == 12)
        assert models(await events(kafka, bus, 4, topics.SHADOW_EVENTS)) == [(index, NEW) for index in range(4)]


async def test_a_shadow_whose_topic_takes_nothing_costs_the_live_model_nothing(
    kafka: str, bus: str, bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(kafka, bus, bundles, tmp_path / "rollout.json", "old", "new"):
        before = outcomes()
        with monkeypatch.context() as patch:

            async def refuse(*_: object) -> None:
                raise KafkaConnectionError("away")

            patch.setattr(shadow_producer, "ensure_topics", refuse)
            await write_windows(kafka, bus, 0, 1)
            assert models(await events(kafka, bus, 2)) == [(0, OLD), (1, OLD)]
            await until(lambda: rise(before) == {"failed": 2})
        await write_windows(kafka, bus, 2, 3)
        assert models(await events(kafka, bus, 2, topics.SHADOW_EVENTS)) == [(2, NEW), (3, NEW)]


async def test_a_shadow_topic_that_was_deleted_is_made_again(
    kafka: str, bus: str, bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_producer, "WRITE_S", 2.0)
    async with following(kafka, bus, bundles, tmp_path / "rollout.json", "old", "new") as worker:
        await write_windows(kafka, bus, 0, 1)
        await events(kafka, bus, 2, topics.SHADOW_EVENTS)
        await delete(kafka, bus + topics.SHADOW_EVENTS.name)
        sent = 2
        async with asyncio.timeout(60):
            while True:
                await write_windows(kafka, bus, sent, sent + 1)
                sent += 2
                assert len(await events(kafka, bus, sent)) == sent
                try:
                    if await read(kafka, bus + topics.SHADOW_EVENTS.name, PARTITIONS):
                        break
                except Exception:
                    await asyncio.sleep(0.2)
        assert worker.consumer._health.not_ready == {}
