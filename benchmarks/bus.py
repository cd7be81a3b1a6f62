"""Kafka helpers of all stages: topics of a single round, and reading an output topic until it is complete."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.measure import Round, watch
from gaitway.embedded.process import ServerProcess

PARTITIONS = 4
WARM_SHARE = 0.1
SILENCE_S = 60.0


class OutputMissing(Exception):
    """A contestant does not write all records, or writes all of them at once."""


def make_prefix() -> str:
    """Make a unique prefix of topic names."""
    return f"bench-{secrets.token_hex(4)}-"


@contextmanager
def temporary_topics(kafka: str) -> Iterator[str]:
    """Yield a prefix, and delete its topics afterwards."""
    prefix = make_prefix()
    yield prefix
    asyncio.run(delete_topics(kafka, prefix))


async def open_reader(kafka: str, topic: str) -> AIOKafkaConsumer:
    """Open a consumer of the committed records of a topic, from its beginning, without a group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 << 20,
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
    return consumer


async def delete_topics(kafka: str, prefix: str) -> None:
    """Delete all topics of a prefix, including changelogs, because a round's logs are large."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_topics([topic for topic in await admin.list_topics() if prefix in topic])
    finally:
        await admin.close()


async def measure_until(
    kafka: str, topic: str, process: ServerProcess, count: int, warm_share: float = WARM_SHARE
) -> tuple[Round, list[ConsumerRecord]]:
    """Read ``count`` records of a topic; returns the process's cost of those after the first ``warm_share``.

    A service publishes in batches, so its cost is measured when a batch appears and the next has just begun.
    """
    found: list[ConsumerRecord] = []
    consumer = await open_reader(kafka, topic)

    async def read_until(target: int) -> None:
        last_s = time.monotonic()
        while len(found) < target:
            if time.monotonic() - last_s > SILENCE_S or not process.running:
                tail = process.log_path.read_text(errors="replace")[-2000:]
                raise OutputMissing(f"{process.name}: {len(found)} of {count} records came; its log ends:\n{tail}")
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(records)
                last_s = time.monotonic()

    try:
        await read_until(max(1, round(count * warm_share)))
        warm = len(found)
        if warm >= count:
            raise OutputMissing(f"{process.name}: all {count} records came at once; the log is too short to measure")
        with watch(process.pid) as stopwatch:
            await read_until(count)
    finally:
        await consumer.stop()
    return stopwatch.round(count - warm), found
