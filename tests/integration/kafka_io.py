"""Reading and writing a real broker in tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import OffsetAndMetadata


async def read(
    kafka: str, topic: str, partitions: int, *, isolation_level: str = "read_committed"
) -> list[ConsumerRecord]:
    """All records of a topic up to now, by partition and offset."""
    wanted = [TopicPartition(topic, partition) for partition in range(partitions)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level=isolation_level,
    )
    await consumer.start()
    try:
        consumer.assign(wanted)
        ends = await consumer.end_offsets(wanted)
        found: list[ConsumerRecord] = []
        async with asyncio.timeout(60):
            while any([await consumer.position(tp) < ends[tp] for tp in wanted]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
    finally:
        await consumer.stop()
    return sorted(found, key=lambda record: (record.partition, record.offset))


async def read_until(
    kafka: str, topic: str, partitions: int, enough: Callable[[list[ConsumerRecord]], bool], timeout_s: float = 90
) -> list[ConsumerRecord]:
    """Read until ``enough`` says so; what there is when the time is up, so that the test says what is missing."""
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    while True:
        found = await read(kafka, topic, partitions)
        if enough(found) or asyncio.get_running_loop().time() > deadline_s:
            return found
        await asyncio.sleep(0.1)


async def commits(kafka: str, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    """What a group has committed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        return {tp: o for tp, o in (await admin.list_consumer_group_offsets(group)).items() if o.offset >= 0}
    finally:
        await admin.close()


@asynccontextmanager
async def producer(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    """Takes records of any size, as anybody's producer may."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", max_request_size=4 * 1024**2)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


NOT_UTF8 = "not UTF-8"


class _BytesName(str):
    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfename"


class _BuilderOfAnyNames(_DefaultRecordBatchBuilderPy):
    def append(self, offset, timestamp, key, value, headers):
        names = [(_BytesName(name) if name == NOT_UTF8 else name, content) for name, content in headers]
        return super().append(offset, timestamp, key, value, names)


def write_names_that_are_not_utf8(producer: AIOKafkaProducer) -> None:
    """Have this producer alone, which must not be idempotent, write a name of other bytes where a header is NOT_UTF8.

    A patch of aiokafka's builder would reach every producer of the process, and an idempotent one's sender dies of a
    batch that was begun before the patch and is sent within it.
    """
    accumulator = producer._message_accumulator
    create = accumulator.create_builder

    def create_for_any_names(**serializers: object) -> BatchBuilder:
        batch = create(**serializers)
        batch._builder = _BuilderOfAnyNames(
            2,
            accumulator._compression_type,
            is_transactional=0,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=0,
            batch_size=accumulator._batch_size,
        )
        return batch

    accumulator.create_builder = create_for_any_names


def headers_of(record: ConsumerRecord) -> dict[str, bytes]:
    return dict(record.headers)


async def limit(kafka: str, topic: str, size: int) -> None:
    """Have the topic take batches of so many bytes at most."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        found = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        entries = {entry[0]: entry[1] for entry in found[0].resources[0][4] if entry[1]}
        kept = {key: entries[key] for key in ("cleanup.policy", "retention.ms", "message.timestamp.type")}
        changed = kept | {"max.message.bytes": str(size)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=changed)])
    finally:
        await admin.close()


async def delete(kafka: str, *names: str) -> None:
    """Delete topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_topics(list(names))
    finally:
        await admin.close()
