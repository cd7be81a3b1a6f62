import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from shared.contracts.errors import Stop
from shared.kafka.consumer import poll, poll_twice
from tests.services.inference.windows import kafka_window

MINE, NEW, GONE = (TopicPartition("t", partition) for partition in range(3))


class MemoryConsumer:
    """Hands out what it is given; ``rebalancing`` it waits for an assignment, whatever the timeout."""

    def __init__(self, records=(), assigned=()) -> None:
        self.records = dict(records)
        self.assigned = set(assigned)
        self.positions: dict[TopicPartition, int] = {}
        self.rebalancing = asyncio.Event()
        self.rebalancing.set()

    async def getmany(self, *, timeout_ms: int, max_records: int):
        await self.rebalancing.wait()
        return dict(self.records)

    def assignment(self):
        return self.assigned

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.positions[tp] = offset


def batch(tp: TopicPartition, *offsets: int):
    return tp, [kafka_window(offset, b"", partition=tp.partition) for offset in offsets]


async def test_what_comes_before_its_partition_is_ready_comes_again():
    consumer = MemoryConsumer([batch(MINE, 5, 6), batch(NEW, 7, 8), batch(GONE, 9)], {MINE, NEW})
    assert await poll(consumer, 100, {0}) == dict([batch(MINE, 5, 6)])
    assert consumer.positions == {NEW: 7}


async def test_a_rebalance_does_not_wait_for_a_poll():
    consumer = MemoryConsumer([batch(MINE, 5)], {MINE})
    consumer.rebalancing.clear()
    async with asyncio.timeout(30):
        assert await poll(consumer, 100, {0}) == {}
    consumer.rebalancing.set()
    assert await poll(consumer, 100, {0}) == dict([batch(MINE, 5)])


async def test_an_error_of_the_consumer_is_not_hidden():
    consumer = MemoryConsumer()

    async def broken(**_):
        raise ZeroDivisionError

    consumer.getmany = broken
    with pytest.raises(ZeroDivisionError):
        await poll(consumer, 100, {0})


async def test_a_second_poll_brings_what_has_come_since_the_buffer_was_filled():
    polls = [dict([batch(MINE, 5)]), dict([batch(MINE, 6, 7), batch(NEW, 1)])]
    consumer = MemoryConsumer(assigned={MINE, NEW})

    async def getmany(**_):
        return polls.pop(0) if polls else {}

    consumer.getmany = getmany
    fresh = await poll_twice(consumer, 100, {0, 1})
    assert {tp: [record.offset for record in records] for tp, records in fresh.items()} == {MINE: [5, 6, 7], NEW: [1]}
    assert await poll_twice(consumer, 100, {0, 1}) == {}


async def test_what_the_consumer_may_not_read_stops_the_service_by_name():
    class Refused(MemoryConsumer):
        async def getmany(self, *, timeout_ms: int, max_records: int):
            raise TopicAuthorizationFailedError("activity.windows")

    with pytest.raises(Stop, match=r"TopicAuthorizationFailedError.*activity\.windows"):
        await poll(Refused(), 100, {0})
