"""The log in Kafka: in Gaitway's watch topics, and as JSON for the peers that read it."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec
from aiokafka import AIOKafkaProducer

from benchmarks.bus import PARTITIONS
from benchmarks.features_log import FeaturesLog
from shared.contracts.modality import MODALITY_NAMES
from shared.contracts.samples import TICK, SampleRecord
from shared.contracts.time_limits import DAY_MS, HOUR_MS
from shared.contracts.topics import SAMPLE_TOPICS, TopicSpec
from shared.contracts.users import partition_of
from shared.kafka.admin import ensure_topics

BATCH_BYTES = 512 * 1024
TICK_PAUSE_S = 0.05
# The record's timestamp is the event time: Quix Streams reads several topics in its order.
JSON_TOPICS = {
    name: TopicSpec(f"json.{name}", DAY_MS, {"message.timestamp.type": "CreateTime"}) for name in MODALITY_NAMES
}
JSON_WINDOWS = TopicSpec("json.windows", HOUR_MS)
_HEADERS = [("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]

_Records = dict[tuple[str, int], list[tuple[bytes, bytes, int]]]
"""Per topic and partition: key, value, timestamp in ms."""


async def write_watch_topics(kafka: str, prefix: str, log: FeaturesLog) -> None:
    """Write the records as ingest would, followed by ticks that release the last one."""
    await ensure_topics(kafka, prefix, PARTITIONS, 1)
    await _write(kafka, log, lambda name: prefix + SAMPLE_TOPICS[name].name, SampleRecord.encode, _HEADERS)
    await write_ticks(kafka, prefix)


async def write_ticks(kafka: str, prefix: str) -> None:
    """Write two ticks into every partition: records with the time of the first come before the second."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    try:
        for _ in range(2):
            await asyncio.sleep(TICK_PAUSE_S)
            for spec in SAMPLE_TOPICS.values():
                for partition in range(PARTITIONS):
                    await producer.send_and_wait(prefix + spec.name, TICK, partition=partition)
    finally:
        await producer.stop()


async def write_json_topics(kafka: str, prefix: str, log: FeaturesLog) -> None:
    """Write the same samples, one JSON object per modality of an upload."""
    await ensure_topics(kafka, prefix, PARTITIONS, 1, tuple(JSON_TOPICS.values()))
    await _write(kafka, log, lambda name: prefix + JSON_TOPICS[name].name, _json, [])


def _json(record: SampleRecord) -> bytes:
    return msgspec.json.encode(
        {
            "modality": record.modality.name,
            "device": record.device,
            "t0_ms": record.t0_ms,
            "rate_hz": record.rate_hz,
            "received_at_ms": record.received_at_ms,
            "samples": record.samples.tolist(),
        }
    )


async def _write(
    kafka: str,
    log: FeaturesLog,
    topic_of: Callable[[str], str],
    encode: Callable[[SampleRecord], bytes],
    headers: list[tuple[str, bytes]],
) -> None:
    """Write the uploads of all watches in order, so that the topics grow together, as they do live."""
    encoded = [
        [[(topic_of(r.modality.name), encode(r), r.t0_ms) for r in upload] for upload in pattern.uploads]
        for pattern in log.patterns
    ]
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", max_batch_size=BATCH_BYTES)
    await producer.start()
    try:
        for step in range(max(len(uploads) for uploads in encoded)):
            records: _Records = defaultdict(list)
            for number, user in enumerate(log.users):
                uploads = encoded[number % len(encoded)]
                for topic, value, t0_ms in uploads[step] if step < len(uploads) else ():
                    records[topic, partition_of(user, PARTITIONS)].append((user.encode(), value, t0_ms))
            sent = [future for key in records for future in await _send(producer, *key, records[key], headers)]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def _send(
    producer: AIOKafkaProducer,
    topic: str,
    partition: int,
    records: Iterable[tuple[bytes, bytes, int]],
    headers: list[tuple[str, bytes]],
) -> list["asyncio.Future[object]"]:
    """Send whole batches, at a fifth of the cost of ``send`` per record."""
    futures = []
    batch = producer.create_batch()
    for key, value, t0_ms in records:
        if batch.append(key=key, value=value, timestamp=t0_ms, headers=headers) is None:
            futures.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=t0_ms, headers=headers)
    futures.append(await producer.send_batch(batch, topic, partition=partition))
    return futures
