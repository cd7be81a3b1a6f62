"""A topic that is deleted under a running service: named, waited for, and nothing twice afterwards."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.inference.classifier import Classifier
from services.inference.consumer import WindowConsumer
from shared.contracts import topics
from shared.contracts.errors import TopicMismatch
from shared.kafka import topic_monitor
from shared.kafka.admin import ensure_topics
from shared.kafka.health import ConsumerHealth
from shared.kafka.topic_monitor import TopicMonitor
from shared.runtime.clock import system_clock
from tests.bundles import random_bundle
from tests.integration.kafka_io import delete, read_until
from tests.integration.test_features_kafka import PARTITIONS as FEATURES_PARTITIONS
from tests.integration.test_features_kafka import FeaturesWorker, watches, windows_until
from tests.integration.test_inference_kafka import PARTITIONS, events_of, running, send, settings, start_of
from tests.services.inference.windows import window


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return random_bundle(tmp_path_factory.mktemp("model") / "random")


@pytest.fixture
def classifier(bundle):
    classifier = Classifier(bundle, threads=1)
    yield classifier
    classifier.close()


@pytest.fixture
async def bus(kafka, topic_prefix) -> str:
    await ensure_topics(kafka, topic_prefix, PARTITIONS, 1)
    return topic_prefix


async def create(kafka: str, *created: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics(list(created))
    finally:
        await admin.close()


async def until_missing(health: ConsumerHealth, *names: str) -> None:
    async with asyncio.timeout(30):
        while not all(name in health.not_ready.get("topics", "") for name in names):
            await asyncio.sleep(0.05)


async def until_ready(health: ConsumerHealth) -> None:
    async with asyncio.timeout(60):
        while health.not_ready:
            await asyncio.sleep(0.05)


async def test_events_that_were_deleted_are_named_and_go_on_once_they_are_back(kafka, bus, classifier, caplog):
    health = ConsumerHealth()
    name = bus + topics.EVENTS.name
    await send(kafka, bus, *(window(i).encode() for i in range(3)))
    async with running(kafka, bus, classifier, health):
        assert await events_of(kafka, bus, 3) == start_of(0, 1, 2)
        await delete(kafka, name)
        await send(kafka, bus, *(window(i).encode() for i in range(5)))
        await until_missing(health, name)
        assert f"{name} deleted" in caplog.text
        assert caplog.text.count(f"{name} deleted") == 1
        await ensure_topics(kafka, bus, PARTITIONS, 1)
        await send(kafka, bus, window(5).encode())
        # Those of before went with the topic: the ledger has them, and they come no second time.
        assert await events_of(kafka, bus, 3) == start_of(3, 4, 5)
        await until_ready(health)


async def test_a_ledger_that_was_deleted_is_written_again(kafka, bus, classifier):
    health = ConsumerHealth()
    await send(kafka, bus, *(window(i).encode() for i in range(3)))
    async with running(kafka, bus, classifier, health):
        assert await events_of(kafka, bus, 3) == start_of(0, 1, 2)
        await delete(kafka, bus + topics.LEDGER.name)
        await until_missing(health, bus + topics.LEDGER.name)
        await ensure_topics(kafka, bus, PARTITIONS, 1)
        await until_ready(health)
        found = await read_until(kafka, bus + topics.LEDGER.name, PARTITIONS, lambda found: len(found) > 0)
        assert [record.partition for record in found] == [0]
        await send(kafka, bus, window(3).encode())
        assert await events_of(kafka, bus, 4) == start_of(*range(4))
    # The next worker reads what the first one has written again.
    await send(kafka, bus, *(window(i).encode() for i in range(5)))
    async with running(kafka, bus, classifier):
        assert await events_of(kafka, bus, 5) == start_of(*range(5))


async def test_windows_that_were_deleted_are_read_from_the_start_of_the_new_topic(kafka, bus, classifier):
    health = ConsumerHealth()
    name = bus + topics.WINDOWS.name
    await send(kafka, bus, *(window(i).encode() for i in range(3)))
    async with running(kafka, bus, classifier, health):
        assert await events_of(kafka, bus, 3) == start_of(0, 1, 2)
        await delete(kafka, name)
        await until_missing(health, name)
        await ensure_topics(kafka, bus, PARTITIONS, 1)
        await send(kafka, bus, *(window(i).encode() for i in range(5)))
        assert await events_of(kafka, bus, 5) == start_of(*range(5))
        await until_ready(health)


async def test_deleted_topic_that_nobody_creates_is_created_by_the_service(kafka, bus, classifier, monkeypatch):
    health = ConsumerHealth()
    monkeypatch.setattr(topic_monitor, "CREATE_AFTER_S", 0.5)
    async with running(kafka, bus, classifier, health):
        await delete(kafka, bus + topics.EVENTS.name)
        await until_missing(health, bus + topics.EVENTS.name)
        await until_ready(health)
        await send(kafka, bus, window(0).encode())
        assert await events_of(kafka, bus, 1) == start_of(0)


@asynccontextmanager
async def created_otherwise(kafka: str, name: str, partitions: int):
    await delete(kafka, name)
    yield
    await create(kafka, NewTopic(name, partitions, 1))


@pytest.mark.parametrize(("partitions", "message"), [(1, "has 1 partitions, not 2"), (PARTITIONS, "retention.ms")])
async def test_topic_created_with_other_settings_ends_the_worker(kafka, bus, classifier, partitions, message):
    health = ConsumerHealth()
    worker = WindowConsumer(settings(kafka, bus), classifier, health, system_clock)
    work = asyncio.create_task(worker.run(asyncio.Event()))
    name = bus + topics.EVENTS.name
    await events_of(kafka, bus, 0)
    async with created_otherwise(kafka, name, partitions):
        await until_missing(health, name)
    with pytest.raises(TopicMismatch, match=message):
        await asyncio.wait_for(work, 60)


async def test_unreachable_broker_reports_no_missing_topic(kafka, bus, monkeypatch):
    monkeypatch.setattr(topic_monitor, "ASK_EVERY_S", 0.05)
    health = ConsumerHealth()
    watch = TopicMonitor(settings("127.0.0.1:1", bus), (topics.EVENTS,), health)
    work = asyncio.create_task(watch.run())
    await asyncio.sleep(0.5)
    assert not work.done()
    assert watch.missing == frozenset()
    assert health.not_ready == {}
    work.cancel()


@pytest.mark.parametrize("spec", [topics.WINDOWS, topics.SAMPLE_TOPICS["steps"]], ids=["windows", "steps"])
async def test_features_go_on_when_a_topic_of_theirs_is_back(kafka, topic_prefix, redis_url, redis_prefix, spec):
    await ensure_topics(kafka, topic_prefix, FEATURES_PARTITIONS, 1)
    worker = FeaturesWorker(kafka, topic_prefix, redis_url, redis_prefix)
    used = (*topics.SAMPLE_TOPICS.values(), topics.GAPS, topics.REJECTED, topics.WINDOWS)
    watch = TopicMonitor(worker.consumer._settings, used, worker.health, back=worker.consumer.reset)
    async with watches(kafka, topic_prefix) as people, worker.running():
        looking = asyncio.create_task(watch.run())
        await people.upload(0, 0, 30_000)
        assert (await windows_until(kafka, topic_prefix, people.windows(0, 0, 30_000))).keys() == people.windows(
            0, 0, 30_000
        )
        await delete(kafka, topic_prefix + spec.name)
        await until_missing(worker.health, topic_prefix + spec.name)
        await ensure_topics(kafka, topic_prefix, FEATURES_PARTITIONS, 1)
        await people.upload(0, 30_000, 60_000)
        expected = {(user, start) for user, start in people.windows(0, 0, 60_000) if start >= people.base_ms + 30_000}
        found = await windows_until(kafka, topic_prefix, expected)
        assert expected <= found.keys()
        await until_ready(worker.health)
        looking.cancel()
