"""The age of a partition's progress, with a real broker; the clock goes by hand."""

import asyncio

import pytest

from shared.contracts import topics
from shared.kafka import lag as progress_module
from shared.kafka.admin import ensure_topics
from shared.kafka.health import ConsumerHealth
from shared.kafka.lag import PartitionLag
from shared.runtime.clock import system_clock
from tests.e2e.harness import until
from tests.integration.kafka_io import read_until
from tests.integration.test_features_kafka import FeaturesWorker, watches
from tests.integration.test_inference_kafka import send
from tests.integration.test_inference_kafka import settings as inference_settings
from tests.services.inference.windows import window


class Watch:
    """A clock that goes by hand."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def _look_often(monkeypatch):
    monkeypatch.setattr(progress_module, "ASK_EVERY_S", 0.05)


async def is_alive_again(health: ConsumerHealth) -> None:
    await until(lambda: health.alive, "liveness")


class HangingPolls:
    """In the place of a consumer's getmany: the loop turns, and reads nothing."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, **_: object) -> dict[object, object]:
        self.calls += 1
        await asyncio.sleep(0.05)
        return {}

    async def begun(self) -> None:
        """Return once what was under way before is over."""
        await until(lambda: self.calls > 1, "a poll that reads nothing")


async def looks(progress: PartitionLag, count: int) -> None:
    """Return after so many looks at the partitions."""
    look, seen = progress.look, 0

    async def counting(consumer: object) -> None:
        nonlocal seen
        await look(consumer)
        seen += 1

    progress.look = counting
    try:
        await until(lambda: seen >= count, "a look at the partitions")
    finally:
        progress.look = look


async def test_features_that_reads_nothing_of_a_growing_log_is_not_alive(kafka, topic_prefix, redis_url, redis_prefix):
    await ensure_topics(kafka, topic_prefix, 4, 1)
    watch = Watch()
    worker = FeaturesWorker(kafka, topic_prefix, redis_url, redis_prefix)
    worker.health.monotonic = watch
    worker.health.partitions._monotonic = watch
    async with watches(kafka, topic_prefix), worker.running():
        await worker.owns(4)
        watch.now_s += 61
        await is_alive_again(worker.health)
        worker.consumer._consumer.getmany = polls = HangingPolls()
        await polls.begun()
        await looks(worker.health.partitions, 2)  # the first one may still see what was read before
        watch.now_s += 61
        # The loop itself goes on turning all the while.
        await until(lambda: watch.now_s == worker.health._last_progress, "the loop to turn")
        await looks(worker.health.partitions, 2)
        assert not worker.health.alive
        assert len(worker.health.partitions.stalled(60)) == 12
        del worker.consumer._consumer.getmany
        await is_alive_again(worker.health)


async def test_inference_is_alive_while_idle_and_not_while_hung(kafka, topic_prefix, tmp_path):
    from services.inference.classifier import Classifier
    from services.inference.consumer import WindowConsumer
    from tests.bundles import random_bundle

    await ensure_topics(kafka, topic_prefix, 2, 1)
    watch = Watch()
    health = ConsumerHealth(60.0, watch)
    classifier = Classifier(random_bundle(tmp_path / "bundle"), threads=1)
    stop = asyncio.Event()
    worker = WindowConsumer(inference_settings(kafka, topic_prefix), classifier, health, system_clock)
    work = asyncio.create_task(worker.run(stop))
    try:
        await send(kafka, topic_prefix, window(0).encode())
        await read_until(kafka, topic_prefix + topics.EVENTS.name, 2, lambda found: len(found) == 1)
        for _ in range(3):
            watch.now_s += 61
            await is_alive_again(health)
        worker._consumer.getmany = polls = HangingPolls()
        await polls.begun()
        await send(kafka, topic_prefix, window(1).encode())
        await looks(health.partitions, 2)
        watch.now_s += 61
        # The loop itself goes on turning all the while.
        await until(lambda: watch.now_s == health._last_progress, "the loop to turn")
        await looks(health.partitions, 2)
        assert not health.alive
        assert health.partitions.stalled(60) == [f"{topic_prefix}activity.windows/0"]
        del worker._consumer.getmany
        await is_alive_again(health)
    finally:
        stop.set()
        await asyncio.wait_for(work, 60)
        classifier.close()
