"""A log as Kafka hands it out: records of the three watch topics of one partition, in polls."""

from collections.abc import Mapping, Sequence

from aiokafka import ConsumerRecord, TopicPartition

from shared.contracts.modality import MODALITY_NAMES
from shared.contracts.samples import TICK
from shared.windows.merge import LogRecord
from tests.kafka_records import consumer_record

TOPIC_NAMES = [f"watch.{name}" for name in MODALITY_NAMES]


def kafka_record(
    topic: int,
    offset: int,
    timestamp_ms: int,
    value: bytes | None = TICK,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    *,
    partition: int = 0,
    topic_names: Sequence[str] = TOPIC_NAMES,
) -> ConsumerRecord:
    return consumer_record(topic_names[topic], partition, offset, timestamp_ms, key, value, headers)


def as_kafka(record: LogRecord) -> ConsumerRecord:
    if record.samples is None:
        return kafka_record(record.topic, record.offset, record.log_ms)
    return kafka_record(
        record.topic,
        record.offset,
        record.log_ms,
        record.samples.encode(),
        record.user.encode(),
        record_headers(record),
    )


def record_headers(record: LogRecord) -> list[tuple[str, bytes | None]]:
    return [("traceparent", record.traceparent.encode())] if record.traceparent else []


def poll_of(records: Sequence[ConsumerRecord]) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
    """As getmany returns them."""
    batch: dict[TopicPartition, list[ConsumerRecord]] = {}
    for record in records:
        batch.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
    return batch
