import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaError, NotLeaderForPartitionError, TopicAuthorizationFailedError

from services.ingest.batching import MAX_PENDING_BYTES, RECORD_OVERHEAD_BYTES, Batcher, Message
from shared.contracts.errors import Refused, RetryLater


class Batch(list[bytes]):
    def append(self, *, timestamp: None, key: bytes | None, value: bytes, headers: list[Any]) -> bool:
        super().append(value)
        return True


class Producer:
    """Takes batches; ``outcome`` of a topic: acknowledged, refused with this error, or (None) never heard of again."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, list[bytes]]] = []
        self.outcome: dict[str, KafkaError | bool | None] = {}
        self.full = False

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        if self.full:
            await asyncio.Event().wait()
        self.sent.append((topic, partition, list(batch)))
        future = asyncio.get_running_loop().create_future()
        outcome = self.outcome.get(topic, True)
        if isinstance(outcome, KafkaError):
            future.set_exception(outcome)
        elif outcome:
            future.set_result(outcome)
        return future

    async def flush(self) -> None:
        return


def message(topic: str, value: bytes) -> Message:
    return Message(topic, b"u1", value, [])


async def test_records_that_arrive_together_are_sent_in_one_batch():
    producer = Producer()
    batcher = Batcher(producer, 0.01, 1)
    await asyncio.gather(
        batcher.send(0, [message("a", b"1"), message("b", b"2")]),
        batcher.send(1, [message("a", b"3")]),
        batcher.send(0, [message("a", b"4")]),
    )
    assert sorted(producer.sent) == [("a", 0, [b"1", b"4"]), ("a", 1, [b"3"]), ("b", 0, [b"2"])]
    assert batcher.waiting_bytes == 0


async def test_refusal_of_one_topic_fails_its_partition_alone():
    producer = Producer()
    producer.outcome["b"] = NotLeaderForPartitionError()
    batcher = Batcher(producer, 0.001, 1)
    refused = batcher.send(0, [message("a", b"1"), message("b", b"2")])
    outcomes = await asyncio.gather(refused, batcher.send(1, [message("a", b"3")]), return_exceptions=True)
    assert isinstance(outcomes[0], RetryLater)
    assert outcomes[1] is None
    assert batcher.waiting_bytes == 0


@pytest.mark.parametrize("full", [False, True])
async def test_without_an_answer_it_waits_no_longer_than_the_bound(full):
    producer = Producer()
    producer.outcome["a"] = None
    producer.full = full
    batcher = Batcher(producer, 0.001, 0.05)
    with pytest.raises(RetryLater, match=r"not acknowledged within 0\.05 s"):
        await batcher.send(0, [message("a", b"12")])
    # What the producer has taken still waits for Kafka; what it had no place for does not.
    assert batcher.waiting_bytes == (0 if full else 2 + RECORD_OVERHEAD_BYTES)


async def test_unexpected_error_fails_every_waiting_request(caplog):
    producer = Producer()
    producer.send_batch = None
    with pytest.raises(RetryLater, match="failed"):
        await Batcher(producer, 0.001, 1).send(0, [message("a", b"1")])
    assert "a batch could not be sent" in caplog.text


async def test_full_batch_is_sent_at_once():
    producer = Producer()
    batcher = Batcher(producer, 60, 90)
    large = bytes(MAX_PENDING_BYTES // 2)
    first = asyncio.create_task(batcher.send(0, [message("a", large)]))
    second = asyncio.create_task(batcher.send(0, [message("a", large)]))
    await asyncio.wait_for(first, 30)
    assert not second.done()
    await batcher.flush()
    await asyncio.wait_for(second, 30)
    assert [len(batch) for _, _, batch in producer.sent] == [1, 1]


async def test_cancelled_request_leaves_the_others_in_its_batch():
    producer = Producer()
    batcher = Batcher(producer, 0.02, 1)
    leaving, staying = (asyncio.create_task(batcher.send(0, [message("a", b"%d" % n)])) for n in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert leaving.cancelled()
    assert producer.sent == [("a", 0, [b"0", b"1"])]


async def test_what_the_broker_refuses_for_good_is_no_outage_and_needs_a_new_producer():
    producer = Producer()
    batcher = Batcher(producer, 0.001, 1)
    producer.outcome = {"a": NotLeaderForPartitionError()}
    with pytest.raises(RetryLater) as caught:
        await batcher.send(0, [message("a", b"1")])
    assert not isinstance(caught.value, Refused)
    assert not batcher.spent.is_set()
    producer.outcome = {"a": TopicAuthorizationFailedError("a")}
    with pytest.raises(Refused, match="TopicAuthorizationFailed"):
        await batcher.send(0, [message("a", b"1")])
    assert batcher.spent.is_set()
