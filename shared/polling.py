"""Polling Kafka without losing a record to a rebalance."""

from collections.abc import Container
from typing import Any

from aiokafka.structs import TopicPartition

POLL_MS = 200
"""Shorter timeouts on idle topics made aiokafka's waiters grow (aiokafka issue 628)."""


def return_to_log(consumer: Any, records: dict[TopicPartition, list[Any]], ready: Container[int]) -> None:
    """Take out of ``records`` what came for partitions that are not ``ready``, and have it come again.

    aiokafka hands a new partition's records out as soon as it is assigned, which may be before the listener that sets
    the partition up has run; its position has moved past them by then.
    """
    for tp in [tp for tp in records if tp.partition not in ready]:
        early = records.pop(tp)
        if tp in consumer.assignment():
            consumer.seek(tp, early[0].offset)
