"""Consumers: how they are made, and polls that lose no record to a rebalance and that no rebalance waits for."""

import asyncio
from collections.abc import Container
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from shared.contracts.errors import Stop
from shared.kafka.aiokafka_patches import tolerate_invalid_header_names
from shared.runtime.settings import ConsumerSettings

POLL_MS = 200
"""Shorter timeouts on idle topics made aiokafka's waiters grow (aiokafka issue 628)."""
METADATA_MAX_AGE_MS = 10_000
"""aiokafka's 5 min are what a consumer would need to notice that a topic is there again."""
FRESH_MS = 20
"""Of a second poll right after one that brought something: no idle topic."""


MAX_PARTITION_FETCH_BYTES = 4 * 1024 * 1024
MIN_HEARTBEAT_MS = 300


def create_group_consumer(settings: ConsumerSettings, group: str, **options: Any) -> AIOKafkaConsumer:
    """A static member of ``group`` that begins at the oldest record and commits nothing by itself; not started yet."""
    tolerate_invalid_header_names()
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        group_id=group,
        group_instance_id=f"{group}-{settings.instance}",
        partition_assignment_strategy=(RangePartitionAssignor,),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=max(MIN_HEARTBEAT_MS, settings.session_timeout_ms // 5),
        max_partition_fetch_bytes=MAX_PARTITION_FETCH_BYTES,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        **options,
    )


def create_reader(bootstrap_servers: str, *, auto_offset_reset: str = "earliest") -> AIOKafkaConsumer:
    """A consumer of no group, of committed records only, whose partitions the caller assigns; not started yet."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset=auto_offset_reset,
    )


async def poll(
    consumer: Any, max_records: int, ready: Container[int], *, timeout_ms: int = POLL_MS
) -> dict[TopicPartition, list[Any]]:
    """The next records of the partitions that are ``ready``; none when nothing came, or while a rebalance goes on.

    The caller holds the lock that the rebalance listener takes. getmany's own timeout does not bound it: once a
    rebalance has begun it waits for the new assignment, which waits for the listener, which waits for the lock. It is
    cancelled only where it waits, and there it has taken no record.

    Raises:
        Stop: the consumer may not read on, or cannot.
    """
    try:
        async with asyncio.timeout(2 * POLL_MS / 1000):
            records: dict[TopicPartition, list[Any]] = await consumer.getmany(
                timeout_ms=timeout_ms, max_records=max_records
            )
    except TimeoutError:
        return {}
    except KafkaError as error:
        # What aiokafka mends by itself it does not tell: a right that is missing, a record that is damaged.
        raise Stop(f"Kafka: {error!r}: the next records cannot be read") from error
    _rewind_unassigned(consumer, records, ready)
    return records


async def poll_twice(consumer: Any, max_records: int, ready: Container[int]) -> dict[TopicPartition, list[Any]]:
    """The same for a caller that pauses between two polls: also what has come since the consumer last fetched.

    aiokafka fetches again once its buffer is empty, so that the first poll after a pause finds records as old as the
    pause; the second one gets those of now.
    """
    records = await poll(consumer, max_records, ready)
    if records:
        for tp, later in (await poll(consumer, max_records, ready, timeout_ms=FRESH_MS)).items():
            records.setdefault(tp, []).extend(later)
    return records


def _rewind_unassigned(consumer: Any, records: dict[TopicPartition, list[Any]], ready: Container[int]) -> None:
    """Take out of ``records`` what came for partitions that are not ``ready``, and have it come again.

    aiokafka hands a new partition's records out as soon as it is assigned, which may be before the listener that sets
    the partition up has run; its position has moved past them by then.
    """
    for tp in [tp for tp in records if tp.partition not in ready]:
        early = records.pop(tp)
        if tp in consumer.assignment():
            consumer.seek(tp, early[0].offset)
