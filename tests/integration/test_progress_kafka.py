"""The age of a partition's progress, with a real broker; the clock goes by hand."""

import asyncio

import pytest

from shared import progress as progress_module
from shared import topics
from shared.clock import system_clock
from shared.health import Health
from tests.inference.windows import window
from tests.integration.bus import read_until
from tests.integration.test_features_kafka import FeaturesWorker, watches
from tests.integration.test_inference_kafka import send
from tests.integration.test_inference_kafka import settings as inference_settings


class Watch:
    """A clock that goes by hand."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def _look_often(monkeypatch):
    monkeypatch.setattr(progress_module, "ASK_EVERY_S", 0.05)


async def alive_within(health: Health, alive: bool, timeout_s: float = 15) -> bool:
    """Whether liveness becomes that while the loop turns."""
    try:
        async with asyncio.timeout(timeout_s):
            while health.alive != alive:
                await asyncio.sleep(0.05)
    except TimeoutError:
        return False
    return True


async def hangs(*args, **kwargs):
    await asyncio.sleep(0.05)
    return {}


async def test_features_that_reads_nothing_of_a_growing_log_is_not_alive(kafka, topic_prefix, redis_url, redis_prefix):
    await topics.ensure_topics(kafka, topic_prefix, 4, 1)
    watch = Watch()
    worker = FeaturesWorker(kafka, topic_prefix, redis_url, redis_prefix)
    worker.health.monotonic = watch
    worker.health.partitions._monotonic = watch
    async with watches(kafka, topic_prefix), worker.running():
        await worker.owns(4)
        watch.now_s += 61
        assert await alive_within(worker.health, True)
        worker.source._consumer.getmany = hangs
        await asyncio.sleep(0.5)
        watch.now_s += 61
        await asyncio.sleep(0.5)
        assert not worker.health.alive
        assert len(worker.health.partitions.stalled(60)) == 12
        # The loop itself goes on turning all the while.
        assert watch.now_s == worker.health._last_progress
        del worker.source._consumer.getmany
        assert await alive_within(worker.health, True)


async def test_inference_is_alive_while_idle_and_not_while_hung(kafka, topic_prefix, tmp_path):
    from services.inference.classifier import Classifier
    from services.inference.service import Worker
    from tests.bundles import random_bundle

    await topics.ensure_topics(kafka, topic_prefix, 2, 1)
    watch = Watch()
    health = Health(60.0, watch)
    classifier = Classifier(random_bundle(tmp_path / "bundle"), threads=1)
    worker = Worker(inference_settings(kafka, topic_prefix), classifier, health, system_clock)
    work = asyncio.create_task(worker.run())
    try:
        await send(kafka, topic_prefix, window(0).encode())
        await read_until(kafka, topic_prefix + topics.EVENTS.name, 2, lambda found: len(found) == 1)
        for _ in range(3):
            watch.now_s += 61
            assert await alive_within(health, True)
        worker._consumer.getmany = hangs
        await asyncio.sleep(0.5)  # the poll under way still reads
        await send(kafka, topic_prefix, window(1).encode())
        await asyncio.sleep(0.5)
        watch.now_s += 61
        await asyncio.sleep(0.5)
        assert not health.alive
        # The loop itself goes on turning all the while.
        assert watch.now_s == health._last_progress
        assert health.partitions.stalled(60) == [f"{topic_prefix}activity.windows/0"]
        del worker._consumer.getmany
        assert await alive_within(health, True)
    finally:
        worker.stopping.set()
        await asyncio.wait_for(work, 20)
        classifier.close()
