"""A topic that takes less than it did: what is too large for it is rejected with a reason, the rest goes on."""

import asyncio

import pytest

from services.inference.classifier import Classifier
from shared.contracts import topics
from shared.contracts.window import decode_window
from shared.kafka.admin import ensure_topics
from shared.kafka.aiokafka_patches import record_bytes
from shared.kafka.health import ConsumerHealth
from tests.bundles import random_bundle
from tests.integration.kafka_io import headers_of, limit, read, read_until
from tests.integration.test_features_kafka import PARTITIONS, FeaturesWorker, watches, windows_until
from tests.integration.test_inference_kafka import events_of, running, send, start_of
from tests.services.inference.windows import window


@pytest.fixture
async def bus(kafka, topic_prefix) -> str:
    await ensure_topics(kafka, topic_prefix, PARTITIONS, 1)
    return topic_prefix


@pytest.fixture
def classifier(tmp_path):
    classifier = Classifier(random_bundle(tmp_path / "random"), threads=1)
    yield classifier
    classifier.close()


async def test_an_event_that_is_too_large_is_rejected_and_the_others_go_on(kafka, bus, classifier):
    small, large = "watch", "w" * 250
    health = ConsumerHealth()
    async with running(kafka, bus, classifier, health, partitions=PARTITIONS) as worker:
        await send(kafka, bus, window(0, device=small).encode())
        assert await events_of(kafka, bus, 1) == start_of(0)
        # All at once: what is too large spoils the batch of all of them.
        [event] = await read(kafka, bus + topics.EVENTS.name, PARTITIONS)
        size = record_bytes(event.key, event.value, event.headers) + 100
        await limit(kafka, bus + topics.EVENTS.name, size)
        many = [window(i, device=large if i == 5 else small).encode() for i in range(1, 10)]
        async with worker._busy:
            await send(kafka, bus, *many)
        expected = start_of(*(i for i in range(10) if i != 5))
        assert await events_of(kafka, bus, len(expected)) == expected
        assert health.not_ready == {}
    [rejected] = await read(kafka, bus + topics.REJECTED.name, PARTITIONS)
    assert decode_window(rejected.value).device == large
    assert b"activity.events allows %d" % size in headers_of(rejected)["reason"]


@pytest.mark.parametrize("rejected_takes", [2_000_000, 2_000])
async def test_a_window_that_is_too_large_is_rejected_and_gaps_go_on(
    kafka, bus, redis_url, redis_prefix, rejected_takes
):
    worker = FeaturesWorker(kafka, bus, redis_url, redis_prefix)
    async with watches(kafka, bus) as people, worker.running():
        await people.upload(0, 0, 30_000)
        await windows_until(kafka, bus, people.windows(0, 0, 30_000))
        await limit(kafka, bus + topics.WINDOWS.name, 5_000)
        await limit(kafka, bus + topics.REJECTED.name, rejected_takes)
        await people.upload(0, 30_000, 60_000)
        expected = people.windows(0, 0, 60_000) - people.windows(0, 0, 30_000)
        found = await read_until(kafka, bus + topics.REJECTED.name, PARTITIONS, lambda f: len(f) >= len(expected))
        assert len(found) == len(expected)
        for record in found:
            assert record.key == b"u0"
            assert headers_of(record)["origin_topic"] == (bus + topics.WINDOWS.name).encode()
            assert b"more than" in headers_of(record)["reason"]
        starts = {decode_window(record.value).window_start_ms for record in found if record.value}
        assert starts == ({start for _, start in expected} if rejected_takes > 10_000 else set())
        await limit(kafka, bus + topics.WINDOWS.name, 1_000_000)
        async with asyncio.timeout(30):
            while worker.health.not_ready:
                await asyncio.sleep(0.1)
