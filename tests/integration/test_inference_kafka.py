import asyncio
import json
from collections import Counter

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from services.inference import consumer as consumer_module
from services.inference.classifier import Classifier
from services.inference.cloud_events import activity_event, to_message
from services.inference.consumer import WindowConsumer
from services.inference.ledger import read_ledgers
from services.inference.producer import TransactionalProducer, TransactionBatch, open_producer
from shared.contracts import topics
from shared.contracts.errors import LostOwnership
from shared.contracts.window import WindowRecord
from shared.kafka import producer as kafka_producer
from shared.kafka.admin import ensure_topics
from shared.kafka.health import ConsumerHealth
from shared.runtime.clock import system_clock
from tests.bundles import random_bundle
from tests.integration.inference_worker import PARTITIONS, running, send, settings
from tests.integration.kafka_io import NOT_UTF8, commits, headers_of, producer, read, read_until
from tests.services.inference.windows import altered, window


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
    """The prefix of topics that exist."""
    await ensure_topics(kafka, topic_prefix, PARTITIONS, 1)
    return topic_prefix


class Owner:
    """A worker's hold on partition 0, as far as its transactions go."""

    def __init__(self, partition_writer: TransactionalProducer, classifier: Classifier) -> None:
        self.writer = partition_writer
        self._classifier = classifier

    @classmethod
    async def open(cls, kafka: str, prefix: str, classifier: Classifier) -> "Owner":
        opened = await open_producer(kafka, prefix, 0, 10_000)
        ledger = (await read_ledgers(kafka, prefix, [0], classifier.name.name_version))[0]
        return cls(TransactionalProducer(opened, prefix, 0, f"{prefix}inference", ledger), classifier)

    async def publish(self, *windows: WindowRecord, next_offset: int = 1) -> None:
        """What is new among the windows, in one transaction."""
        out = TransactionBatch(next_offset=next_offset)
        for item in windows:
            if self.writer.ledger.stage("u1", item):
                event = activity_event("u1", item, {"walking": 1.0}, self._classifier.name, 0)
                out.events.append((b"u1", *to_message(event, None)))
        out.rejected.append((b"u1", [("reason", b"test")], b"poison"))
        await self.writer.write(out)


async def starts(kafka: str, prefix: str) -> Counter:
    """The windows that a read_committed consumer sees events of."""
    found = await read(kafka, prefix + topics.EVENTS.name, PARTITIONS)
    return Counter(json.loads(record.value)["window_start_ms"] for record in found)


def start_of(*indices: int) -> dict[int, int]:
    return {window(index).window_start_ms: 1 for index in indices}


class NeverCommits(AIOKafkaProducer):
    """Writes its records, and fails before the transaction is through."""

    async def send_offsets_to_transaction(self, offsets, group_id):
        await super().send_offsets_to_transaction(offsets, group_id)
        await self.flush()
        raise KafkaError("died here")


async def test_a_transaction_holds_all_or_nothing(kafka, bus, classifier, monkeypatch):
    names = [bus + spec.name for spec in (topics.EVENTS, topics.LEDGER, topics.REJECTED)]
    with monkeypatch.context() as patch:
        patch.setattr(kafka_producer, "AIOKafkaProducer", NeverCommits)
        owner = await Owner.open(kafka, bus, classifier)
        with pytest.raises(LostOwnership, match="died here"):
            await owner.publish(window(0))
        await owner.writer.close()
    for name in names:
        assert await read(kafka, name, PARTITIONS) == []
        # It was there, and is taken back.
        assert len(await read(kafka, name, PARTITIONS, isolation_level="read_uncommitted")) == 1
    assert await commits(kafka, f"{bus}inference") == {}
    assert owner.writer.ledger.staged == {}

    owner = await Owner.open(kafka, bus, classifier)
    await owner.publish(window(0), next_offset=7)
    await owner.writer.close()
    assert [len(await read(kafka, name, PARTITIONS)) for name in names] == [1, 1, 1]
    offsets = await commits(kafka, f"{bus}inference")
    assert {tp: o.offset for tp, o in offsets.items()} == {TopicPartition(bus + topics.WINDOWS.name, 0): 7}


async def test_a_successor_fences_and_publishes_nothing_again(kafka, bus, classifier):
    first = await Owner.open(kafka, bus, classifier)
    await first.publish(window(0))
    second = await Owner.open(kafka, bus, classifier)
    with pytest.raises(LostOwnership):
        await first.publish(window(1))
    await second.publish(window(0), window(1))
    assert await starts(kafka, bus) == start_of(0, 1)
    # And back: whoever opens last has it, with all that was published.
    third = await Owner.open(kafka, bus, classifier)
    with pytest.raises(LostOwnership):
        await second.publish(window(2))
    await third.publish(window(0), window(1), window(2))
    assert await starts(kafka, bus) == start_of(0, 1, 2)
    for owner in (first, second, third):
        await owner.writer.close()


class Pausing(AIOKafkaProducer):
    """Stops in the middle of its transaction until it is woken up."""

    written: asyncio.Event
    woken: asyncio.Event

    async def send_offsets_to_transaction(self, offsets, group_id):
        await self.flush()
        self.written.set()
        await self.woken.wait()
        await super().send_offsets_to_transaction(offsets, group_id)


async def test_a_paused_worker_that_wakes_up_cannot_publish(kafka, bus, classifier, monkeypatch):
    Pausing.written, Pausing.woken = asyncio.Event(), asyncio.Event()
    with monkeypatch.context() as patch:
        patch.setattr(kafka_producer, "AIOKafkaProducer", Pausing)
        paused = await Owner.open(kafka, bus, classifier)
    work = asyncio.create_task(paused.publish(window(0), window(1), next_offset=9))
    await asyncio.wait_for(Pausing.written.wait(), 60)
    successor = await Owner.open(kafka, bus, classifier)
    await successor.publish(window(0), next_offset=1)
    Pausing.woken.set()
    with pytest.raises(LostOwnership):
        await work
    await successor.publish(window(1), next_offset=2)
    assert await starts(kafka, bus) == start_of(0, 1)
    assert {o.offset for o in (await commits(kafka, f"{bus}inference")).values()} == {2}
    for owner in (paused, successor):
        await owner.writer.close()


async def test_a_ledger_record_that_nobody_can_read_stops_nothing(kafka, bus, classifier, caplog):
    async with producer(kafka) as bad:
        await bad.send_and_wait(bus + topics.LEDGER.name, b"\x01", key=b'["\xff"]', partition=0)
    owner = await Owner.open(kafka, bus, classifier)
    await owner.publish(window(0))
    ledgers = await read_ledgers(kafka, bus, [0, 1], classifier.name.name_version)
    assert not ledgers[0].stage("u1", window(0))
    assert ledgers[1].stage("u1", window(0))
    assert "activity.ledger 0@0" in caplog.text
    await owner.writer.close()


# The worker


async def events_of(kafka: str, prefix: str, count: int) -> Counter:
    await read_until(kafka, prefix + topics.EVENTS.name, PARTITIONS, lambda found: len(found) >= count)
    return await starts(kafka, prefix)


async def test_a_restart_goes_on_where_the_last_transaction_ended(kafka, bus, classifier):
    await send(kafka, bus, *(window(i).encode() for i in range(3)))
    async with running(kafka, bus, classifier):
        assert await events_of(kafka, bus, 3) == start_of(0, 1, 2)
    assert {tp.partition: o.offset for tp, o in (await commits(kafka, f"{bus}inference")).items()} == {0: 3}
    await send(kafka, bus, window(1).encode(), window(3).encode())
    await send(kafka, bus, window(4).encode(), partition=1)
    async with running(kafka, bus, classifier):
        assert await events_of(kafka, bus, 5) == start_of(*range(5))
    assert {tp.partition: o.offset for tp, o in (await commits(kafka, f"{bus}inference")).items()} == {0: 5, 1: 1}


async def test_a_partition_that_was_taken_away_is_opened_anew(kafka, bus, classifier, caplog):
    await send(kafka, bus, window(0).encode())
    async with running(kafka, bus, classifier):
        assert await events_of(kafka, bus, 1) == start_of(0)
        thief = await Owner.open(kafka, bus, classifier)
        await thief.publish(window(1))
        await send(kafka, bus, *(window(i).encode() for i in range(3)))
        assert await events_of(kafka, bus, 3) == start_of(0, 1, 2)
        with pytest.raises(LostOwnership):
            await thief.publish(window(3))
        await thief.writer.close()
    assert "claiming the partitions again" in caplog.text


async def test_two_workers_share_the_partitions_and_take_over(kafka, bus, classifier):
    async with running(kafka, bus, classifier, instance="a") as first:
        await send(kafka, bus, window(0).encode(), partition=0)
        await events_of(kafka, bus, 1)
        async with running(kafka, bus, classifier, instance="b") as second:
            # Windows come all the while: what a poll finds during a rebalance must not hold it up.
            sent = 1
            async with asyncio.timeout(90):
                while not (len(first._processor.producers) == len(second._processor.producers) == 1) or sent < 20:
                    await send(kafka, bus, window(sent).encode(), partition=sent % PARTITIONS)
                    sent += 1
            await events_of(kafka, bus, sent)
        # The second has left; its partition comes over when its session has ended.
        for partition in range(PARTITIONS):
            await send(kafka, bus, window(sent + partition).encode(), partition=partition)
        expected = start_of(*range(sent + PARTITIONS))
        assert await events_of(kafka, bus, len(expected)) == expected


async def test_invalid_records_are_rejected_and_windows_go_on(kafka, bus, classifier):
    poison = [b"\xc1", altered(window(0).encode(), hop_ms=0), altered(window(0).encode(), feature_version=9)]
    await send(kafka, bus, window(0).encode(), *poison)
    large = b"\xc1" + bytes(1_048_470)  # with the headers of a dead letter more than a producer takes unasked
    await send(kafka, bus, large, b"no key", key=None)
    await send(kafka, bus, window(1).encode(), header=NOT_UTF8)
    async with running(kafka, bus, classifier):
        assert await events_of(kafka, bus, 2) == start_of(0, 1)
    rejected = await read(kafka, bus + topics.REJECTED.name, PARTITIONS)
    assert [record.value for record in rejected] == [*poison, large, b"no key"]
    assert [record.key for record in rejected] == [b"u1"] * 3 + [None] * 2
    assert [int(headers_of(record)["origin_offset"]) for record in rejected] == [1, 2, 3, 4, 5]
    assert {headers_of(record)["origin_topic"] for record in rejected} == {(bus + topics.WINDOWS.name).encode()}
    assert b"feature version 9" in headers_of(rejected[2])["reason"]


async def test_opening_that_fails_is_tried_again_and_leaves_no_producer(kafka, bus, classifier, monkeypatch):
    opened: list[AIOKafkaProducer] = []
    failures = 2

    async def counting(*args):
        opened.append(await open_producer(*args))
        return opened[-1]

    async def failing(*args):
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise KafkaConnectionError("away")
        return await read_ledgers(*args)

    monkeypatch.setattr(consumer_module, "open_producer", counting)
    monkeypatch.setattr(consumer_module, "read_ledgers", failing)
    monkeypatch.setattr(consumer_module, "RETRY_S", 0.05)
    await send(kafka, bus, window(0).encode())
    async with running(kafka, bus, classifier):
        assert await events_of(kafka, bus, 1) == start_of(0)
        assert [producer._closed for producer in opened] == [True] * 4 + [False] * 2
    assert all(producer._closed for producer in opened)


async def test_what_cannot_be_opened_for_good_ends_the_worker(kafka, bus, classifier, monkeypatch):
    async def broken(*args):
        raise ZeroDivisionError

    monkeypatch.setattr(consumer_module, "read_ledgers", broken)
    stop = asyncio.Event()
    worker = WindowConsumer(settings(kafka, bus), classifier, ConsumerHealth(), system_clock)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(worker.run(stop), 60)
