import asyncio
import re
from types import SimpleNamespace

import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from shared.kafka import lag as progress_module
from shared.kafka.health import ConsumerHealth
from shared.kafka.lag import PartitionLag
from shared.runtime.health import health_app

A, B = TopicPartition("watch.steps", 0), TopicPartition("watch.steps", 1)


class Watch:
    """A clock that goes by hand."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class MemoryConsumer:
    """A consumer that reads only when a test says so, and its broker."""

    def __init__(self, *assigned: TopicPartition) -> None:
        self.positions = dict.fromkeys(assigned, 0)
        self.ends = dict.fromkeys(assigned, 0)
        self.waiting: set[TopicPartition] = set()
        self.failure: Exception | None = None
        self.silent = False

    def assignment(self):
        return frozenset(self.positions)

    def paused(self):
        return self.waiting

    async def position(self, tp):
        return self.positions[tp]

    async def end_offsets(self, partitions):
        if self.silent:
            await asyncio.Event().wait()
        if self.failure:
            raise self.failure
        return {tp: self.ends[tp] for tp in partitions}


class Scene:
    def __init__(self, *assigned: TopicPartition, topic_prefix: str = "") -> None:
        self.watch = Watch()
        self.health = ConsumerHealth(60.0, self.watch, topic_prefix=topic_prefix)
        self.health.partitions = PartitionLag(
            self.watch, lambda: int(self.watch.now_s * 1000), topic_prefix=topic_prefix
        )
        self.consumer = MemoryConsumer(*assigned)

    async def seconds(self, count: int) -> None:
        """Of a loop that turns, with a look every five of them."""
        for _ in range(count // 5):
            self.watch.now_s += 5
            self.health.heartbeat()
            try:
                await self.health.partitions.look(self.consumer)
            except (KafkaConnectionError, TimeoutError):
                continue

    async def healthz(self) -> httpx.Response:
        transport = httpx.ASGITransport(health_app(self.health))
        async with httpx.AsyncClient(transport=transport, base_url="http://health") as client:
            return await client.get("/healthz")


@pytest.fixture
def scene() -> Scene:
    return Scene(A, B)


async def test_an_idle_topic_is_alive(scene):
    await scene.seconds(600)
    assert (await scene.healthz()).json() == {"alive": True}
    assert scene.health.partitions.stalled(0.1) == []


async def test_a_consumer_that_hangs_on_one_partition_is_not(scene):
    await scene.seconds(10)
    for _ in range(11):
        scene.consumer.ends = {tp: end + 10 for tp, end in scene.consumer.ends.items()}
        scene.consumer.positions[B] += 3  # far behind, but reading
        await scene.seconds(5)
    assert (await scene.healthz()).status_code == 200
    scene.consumer.positions[B] += 3
    await scene.seconds(5)
    response = await scene.healthz()
    assert (response.status_code, response.json()) == (503, {"alive": False, "stalled": ["watch.steps/0"]})
    assert scene.health.partitions.stalled(60) == ["watch.steps/0"]
    assert scene.health.partitions.stalled(60.1) == []
    scene.consumer.positions[A] += 1
    await scene.seconds(5)
    assert (await scene.healthz()).status_code == 200


@pytest.mark.parametrize("how", ["refuses", "is silent"])
async def test_a_broker_that_is_away_is_no_progress(scene, how, monkeypatch):
    monkeypatch.setattr(progress_module, "ANSWER_S", 0.001)
    await scene.seconds(10)
    scene.consumer.failure = KafkaConnectionError("away")
    scene.consumer.silent = how == "is silent"
    await scene.seconds(55)
    assert (await scene.healthz()).status_code == 200
    await scene.seconds(5)
    assert (await scene.healthz()).status_code == 503
    scene.consumer.failure, scene.consumer.silent = None, False
    await scene.seconds(5)
    assert (await scene.healthz()).status_code == 200


async def test_what_is_read_without_a_word_from_the_broker_is_progress(scene):
    scene.consumer.failure = KafkaConnectionError("away")
    for _ in range(40):
        scene.consumer.positions = {tp: position + 1 for tp, position in scene.consumer.positions.items()}
        await scene.seconds(5)
    assert (await scene.healthz()).status_code == 200


async def test_a_paused_partition_waits_on_purpose(scene):
    scene.consumer.ends[A] = 10
    scene.consumer.waiting = {A}
    await scene.seconds(300)
    assert (await scene.healthz()).status_code == 200
    scene.consumer.waiting = set()
    await scene.seconds(60)
    assert (await scene.healthz()).status_code == 503


async def test_a_position_set_back_again_and_again_is_no_progress(scene):
    scene.consumer.ends[A] = 100
    scene.consumer.positions[A] = 50
    await scene.seconds(5)
    scene.consumer.positions[A] = 20
    await scene.seconds(60)
    assert (await scene.healthz()).status_code == 503


async def test_partition_that_was_revoked_is_not_watched(scene):
    scene.consumer.ends[A] = 10
    await scene.seconds(100)
    assert (await scene.healthz()).status_code == 503
    del scene.consumer.positions[A]
    await scene.seconds(5)
    assert (await scene.healthz()).status_code == 200
    scene.consumer.positions[A] = 0  # comes back: begins now
    await scene.seconds(5)
    assert (await scene.healthz()).status_code == 200


async def test_time_without_a_look_is_no_progress(scene):
    await scene.seconds(5)
    scene.watch.now_s += 60
    scene.health.heartbeat()
    assert (await scene.healthz()).status_code == 503


async def test_without_partitions_the_loop_alone_counts():
    scene = Scene()
    await scene.seconds(600)
    assert (await scene.healthz()).status_code == 200


async def test_unknown_position_blocks_no_other_partition(scene, monkeypatch):
    monkeypatch.setattr(progress_module, "ANSWER_S", 0.01)

    async def position(tp):
        if tp == A:
            await asyncio.Event().wait()
        return 7

    scene.consumer.position = position
    await scene.seconds(60)
    assert scene.health.partitions.stalled(55) == ["watch.steps/0"]


async def test_watching_survives_whatever_the_consumer_does(monkeypatch, caplog):
    monkeypatch.setattr(progress_module, "ASK_EVERY_S", 0)
    consumer = MemoryConsumer(A)
    consumer.failure = ZeroDivisionError()
    watching = asyncio.create_task(PartitionLag().watch(consumer))
    await asyncio.sleep(0.02)
    assert not watching.done()
    assert "cannot read the end offsets of the partitions: ZeroDivisionError()" in caplog.text
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_the_gauge_is_as_old_as_the_page(scene):
    scene.consumer.ends[A] = 10
    await scene.seconds(5)
    scene.watch.now_s += 37
    assert await gauges(scene, "gaitway_partition_progress_age_seconds") == {
        ("watch.steps", "0"): 37.0,
        ("watch.steps", "1"): 37.0,
    }


async def gauges(scene: Scene, name: str) -> dict[tuple[str, str], float]:
    """Value by topic and partition, as /metrics has it."""
    transport = httpx.ASGITransport(health_app(scene.health))
    async with httpx.AsyncClient(transport=transport, base_url="http://health") as client:
        text = (await client.get("/metrics")).text
    found = re.findall(rf'^{name}{{partition="(\d+)",topic="([^"]+)"}} (\S+)$', text, re.MULTILINE)
    return {(topic, partition): float(value) for partition, topic, value in found}


def record(at_s: float) -> SimpleNamespace:
    return SimpleNamespace(timestamp=at_s * 1000)


async def test_lag_in_records_is_what_the_broker_has_and_the_consumer_has_not(scene):
    scene.consumer.ends = {A: 10, B: 25}
    scene.consumer.positions[B] = 20
    await scene.seconds(5)
    assert await gauges(scene, "gaitway_consumer_lag_records") == {("watch.steps", "0"): 10, ("watch.steps", "1"): 5}
    scene.consumer.positions = {A: 10, B: 25}
    await scene.seconds(5)
    assert set((await gauges(scene, "gaitway_consumer_lag_records")).values()) == {0}


async def test_lag_in_seconds_is_the_age_of_what_was_processed_last(scene):
    scene.consumer.ends = {A: 10, B: 10}
    scene.consumer.positions = {A: 4, B: 10}
    await scene.seconds(5)
    scene.health.partitions.handled({A: [record(400), record(scene.watch.now_s - 600)], B: []})
    assert await gauges(scene, "gaitway_consumer_lag_seconds") == {("watch.steps", "0"): 600, ("watch.steps", "1"): 0}
    scene.watch.now_s += 30  # as old as the page, not as the look
    assert (await gauges(scene, "gaitway_consumer_lag_seconds"))["watch.steps", "0"] == 630
    scene.consumer.positions[A] = 10
    await scene.seconds(5)
    assert (await gauges(scene, "gaitway_consumer_lag_seconds"))["watch.steps", "0"] == 0


async def test_what_comes_after_a_long_silence_is_not_late(scene):
    scene.health.partitions.assigned([A, B])
    scene.health.partitions.handled({A: [record(100)]})
    await scene.seconds(3_600)
    scene.watch.now_s += 2
    scene.health.partitions.observe({A: 0}, {A: 1})
    assert (await gauges(scene, "gaitway_consumer_lag_seconds"))["watch.steps", "0"] == 2


async def test_a_worker_that_has_processed_nothing_yet_counts_from_its_assignment(scene):
    scene.consumer.ends[A] = 10
    await scene.seconds(65)
    assert (await gauges(scene, "gaitway_consumer_lag_seconds"))["watch.steps", "0"] == 60


async def test_gauges_of_a_partition_that_has_gone_go_too(scene):
    await scene.seconds(5)
    del scene.consumer.positions[A]
    await scene.seconds(5)
    for name in ("lag_records", "lag_seconds"):
        assert list(await gauges(scene, f"gaitway_consumer_{name}")) == [("watch.steps", "1")]
    assert list(await gauges(scene, "gaitway_partition_progress_age_seconds")) == [("watch.steps", "1")]


async def test_topics_are_named_without_their_prefix():
    scene = Scene(TopicPartition("t1-watch.steps", 3), topic_prefix="t1-")
    await scene.seconds(5)
    assert await gauges(scene, "gaitway_consumer_lag_records") == {("watch.steps", "3"): 0}
