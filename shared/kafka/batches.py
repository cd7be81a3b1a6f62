"""Sending of many records as whole batches, built here.

aiokafka's ``send`` takes 20 to 30 us per record, because each one gets a coroutine, a future and callbacks.
"""

import asyncio
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

Headers = list[tuple[str, bytes]]
Record = tuple[bytes | None, Headers, bytes | None]
"""(key, headers, value); key and value are not both None."""


class Message(NamedTuple):
    """One record for a partition that its sender has chosen."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def fill_batches(producer: AIOKafkaProducer, records: Iterable[Record]) -> list[Any]:
    """Build the batches of one partition, in the order of its records.

    A batch is as large as the producer's ``max_batch_size``; a record that is larger is a batch of its own.
    """
    batches: list[Any] = []
    for key, headers, value in records:
        if not batches or batches[-1].append(timestamp=None, key=key, value=value, headers=headers) is None:
            batches.append(producer.create_batch())
            # The first record of a batch always fits.
            batches[-1].append(timestamp=None, key=key, value=value, headers=headers)
    return batches


async def send_records(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Iterable[Record]
) -> "list[asyncio.Future[Any]]":
    """Hand the records of one partition to the producer; returns one future per batch, done when it is acknowledged.

    It waits while the producer has another batch of this partition that has not left.

    Raises:
        KafkaError: the producer takes no batch.
    """
    return [await producer.send_batch(batch, topic, partition=partition) for batch in fill_batches(producer, records)]


async def send_messages(
    producer: AIOKafkaProducer, messages: Iterable[Message], sent: "list[asyncio.Future[Any]]"
) -> None:
    """Hand records of any partitions to the producer; adds to ``sent`` each batch's future, also if it raises.

    Raises:
        KafkaError: the producer takes no batch.
    """
    records: dict[tuple[str, int], list[Record]] = {}
    for topic, partition, key, value, headers in messages:
        records.setdefault((topic, partition), []).append((key, headers, value))
    batches = [fill_batches(producer, some) for some in records.values()]
    # The producer takes one batch of a partition at a time, so the first ones of all partitions go first.
    for row in zip_longest(*batches):
        for (topic, partition), batch in zip(records, row, strict=True):
            if batch is not None:
                sent.append(await producer.send_batch(batch, topic, partition=partition))
