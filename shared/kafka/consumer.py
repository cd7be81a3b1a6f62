"""Creation of consumers, and polls that lose no record in a rebalance and do not block it."""

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
"""With aiokafka's default of 5 min a consumer would notice a recreated topic that late."""
FRESH_MS = 20
"""Timeout of a second poll directly after one with records; the topic is not idle."""


MAX_PARTITION_FETCH_BYTES = 4 * 1024 * 1024
MIN_HEARTBEAT_MS = 300


def create_group_consumer(settings: ConsumerSettings, group: str, **options: Any) -> AIOKafkaConsumer:
    """Create a static member of ``group`` that starts at the oldest record, without auto-commit; not started yet."""
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
    """Create a consumer without a group for committed records; the caller assigns partitions and starts it."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset=auto_offset_reset,
    )


async def poll(
    consumer: Any, max_records: int, ready: Container[int], *, timeout_ms: int = POLL_MS
) -> dict[TopicPartition, list[Any]]:
    """Return the next records of the partitions in ``ready``; none if nothing came or a rebalance is in progress.

    The caller holds the lock that the rebalance listener needs. The timeout of getmany is not enough: in a rebalance
    getmany waits for the new assignment, which waits for the listener, which waits for the lock. A cancellation loses
    no record, because it only interrupts getmany while it waits, and then it has taken none.

    Raises:
        Stop: the consumer has no permission to read on, or cannot.
    """
    try:
        async with asyncio.timeout(2 * POLL_MS / 1000):
            records: dict[TopicPartition, list[Any]] = await consumer.getmany(
                timeout_ms=timeout_ms, max_records=max_records
            )
    except TimeoutError:
        return {}
    except KafkaError as error:
        # aiokafka handles temporary errors itself; it raises for a missing permission or a damaged record.
        raise Stop(f"Kafka: the next records cannot be read: {error!r}") from error
    _rewind_unassigned(consumer, records, ready)
    return records


async def poll_twice(consumer: Any, max_records: int, ready: Container[int]) -> dict[TopicPartition, list[Any]]:
    """Poll twice, for a caller that pauses between polls: returns also the records since the consumer's last fetch.

    aiokafka fetches again only when its buffer is empty, so the first poll after a pause finds records as old as the
    pause; the second one gets the newest.
    """
    records = await poll(consumer, max_records, ready)
    if records:
        for tp, later in (await poll(consumer, max_records, ready, timeout_ms=FRESH_MS)).items():
            records.setdefault(tp, []).extend(later)
    return records


def _rewind_unassigned(consumer: Any, records: dict[TopicPartition, list[Any]], ready: Container[int]) -> None:
    """Remove records of partitions that are not in ``ready`` from ``records``, and seek back to read them again.

    aiokafka returns a new partition's records as soon as it is assigned, possibly before the listener has set the
    partition up; the position is then already past them.
    """
    for tp in [tp for tp in records if tp.partition not in ready]:
        early = records.pop(tp)
        if tp in consumer.assignment():
            consumer.seek(tp, early[0].offset)
