import asyncio
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from shared.kafka.batches import Message, Record, send_messages, send_records

BATCH_BYTES = 1_000


class Producer:
    """Makes aiokafka's batches and keeps what they hold."""

    def __init__(self) -> None:
        self.sent: list[list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]]] = []
        self.places: set[tuple[str, int]] = set()

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        records = DefaultRecordBatch(bytes(batch._build()))
        self.sent.append([(record.key, record.value, list(record.headers)) for record in records])
        self.places.add((topic, partition))
        future = asyncio.get_running_loop().create_future()
        future.set_result(len(self.sent))
        return future


def record(number: int, size: int = 10) -> Record:
    return b"u%d" % number, [("n", b"%d" % number)], b"v" * size


async def test_records_become_batches_in_their_order():
    producer = Producer()
    records = [record(number, 200) for number in range(10)]
    futures = await send_records(producer, "t", 3, records)
    assert [future.result() for future in futures] == list(range(1, len(producer.sent) + 1))
    assert 1 < len(producer.sent) < 10
    assert [each for batch in producer.sent for each in batch] == [
        (key, value, headers) for key, headers, value in records
    ]
    assert producer.places == {("t", 3)}


async def test_a_record_larger_than_a_batch_is_a_batch_of_its_own():
    producer = Producer()
    await send_records(producer, "t", 0, [record(1), record(2, 5_000), record(3)])
    assert [[key for key, _, _ in batch] for batch in producer.sent] == [[b"u1"], [b"u2"], [b"u3"]]


async def test_without_records_nothing_is_sent_and_nulls_are_kept():
    producer = Producer()
    assert await send_records(producer, "t", 0, []) == []
    await send_records(producer, "t", 0, [(None, [], b""), (b"k", [], None)])
    assert producer.sent == [[(None, b"", []), (b"k", None, [])]]


async def test_the_first_batches_of_all_partitions_go_before_the_second_of_any():
    producer = Producer()
    messages = [Message("t", number % 2, b"u%d" % number, b"v" * 600, []) for number in range(6)]
    sent: list[asyncio.Future[Any]] = []
    await send_messages(producer, messages, sent)
    assert [[key for key, _, _ in batch] for batch in producer.sent] == [[b"u%d" % number] for number in range(6)]
    assert len(sent) == 6
    assert producer.places == {("t", 0), ("t", 1)}
