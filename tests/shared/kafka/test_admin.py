import asyncio
from dataclasses import replace

import pytest

from gaitway.embedded import free_port
from shared.contracts import topics
from shared.contracts.errors import RetryLater, TopicMismatch
from shared.contracts.time_limits import DAY_MS
from shared.contracts.topics import ALL_TOPICS, GAPS, LEDGER, REJECTED, SAMPLE_TOPICS, WINDOWS
from shared.kafka import admin
from shared.kafka.admin import ensure_topics
from tests.integration.kafka_io import producer, read


def test_topic_configs_are_those_of_the_contract():
    by_name = {spec.name: spec.full_config() for spec in ALL_TOPICS}
    assert list(by_name) == [
        *("watch.accelerometer", "watch.heart_rate", "watch.steps", "watch.gaps", "watch.rejected"),
        *("activity.windows", "activity.events", "activity.events.shadow", "activity.ledger"),
    ]
    for spec in SAMPLE_TOPICS.values():
        assert by_name[spec.name]["message.timestamp.type"] == "LogAppendTime"
        assert spec.retention_ms == 7 * DAY_MS
    assert set(by_name["activity.ledger"]["cleanup.policy"].split(",")) == {"compact", "delete"}
    assert LEDGER.retention_ms == 8 * DAY_MS
    assert by_name["activity.windows"]["retention.ms"] == "3600000"
    assert "retention.bytes" in by_name["activity.windows"]


async def test_what_is_missing_is_created_and_again_is_fine(kafka, topic_prefix):
    await ensure_topics(kafka, topic_prefix, 2, 1, (GAPS,))
    await asyncio.gather(*(ensure_topics(kafka, topic_prefix, 2, 1) for _ in range(3)))  # three services at once
    await ensure_topics(kafka, topic_prefix, 2, 1)
    async with producer(kafka) as anybody:
        sent = await anybody.send_and_wait(f"{topic_prefix}watch.steps", b"", timestamp_ms=1, partition=1)
    assert sent.timestamp_type == 1
    assert [record.offset for record in await read(kafka, f"{topic_prefix}watch.steps", 2)] == [0]


async def test_every_mismatch_is_named(kafka, topic_prefix):
    other = replace(GAPS, retention_ms=1_000)
    await ensure_topics(kafka, topic_prefix, 3, 1, (WINDOWS, other))
    await ensure_topics(kafka, topic_prefix, 3, 1, (WINDOWS,))
    with pytest.raises(TopicMismatch) as caught:
        await ensure_topics(kafka, topic_prefix, 2, 1, (WINDOWS, GAPS))
    text = str(caught.value)
    assert f"{topic_prefix}activity.windows has 3 partitions, not 2" in text
    assert f"{topic_prefix}watch.gaps has 3 partitions, not 2" in text
    assert f"{topic_prefix}watch.gaps has retention.ms=1000, not {30 * DAY_MS}" in text
    assert "activity.windows has retention" not in text


async def test_another_time_stamp_type_is_a_mismatch(kafka, topic_prefix):
    steps = SAMPLE_TOPICS["steps"]
    await ensure_topics(kafka, topic_prefix, 1, 1, (replace(steps, config={}),))
    with pytest.raises(TopicMismatch, match=r"message\.timestamp\.type=CreateTime, not LogAppendTime"):
        await ensure_topics(kafka, topic_prefix, 1, 1, (steps,))


async def test_a_rejected_record_of_any_size_that_a_topic_takes_fits(kafka, topic_prefix):
    await ensure_topics(kafka, topic_prefix, 1, 1, (REJECTED, GAPS))
    async with producer(kafka) as anybody:
        largest = bytes(1_048_588 - 200)
        await anybody.send_and_wait(f"{topic_prefix}watch.gaps", largest, partition=0)
        headers = [("reason", b"x" * 5_000)]
        await anybody.send_and_wait(f"{topic_prefix}watch.rejected", largest, partition=0, headers=headers)


async def test_a_broker_that_is_not_there():
    port = free_port()
    with pytest.raises(RetryLater, match=f"127.0.0.1:{port}"):
        await ensure_topics(f"127.0.0.1:{port}", "", 1, 1)


async def test_too_few_brokers_yet(kafka, topic_prefix):
    with pytest.raises(RetryLater, match=r"InvalidReplicationFactor"):
        await ensure_topics(kafka, topic_prefix, 1, 3, (topics.EVENTS,))


async def test_a_broker_that_has_not_heard_of_the_topic_yet(kafka, topic_prefix, monkeypatch):
    name = topic_prefix + GAPS.name

    async def another_broker_knows(*_):
        return [{"topic": name, "error_code": 0, "partitions": [{}]}]

    async def listed(*_):
        return [name]

    monkeypatch.setattr(admin.AIOKafkaAdminClient, "list_topics", listed)
    monkeypatch.setattr(admin.AIOKafkaAdminClient, "describe_topics", another_broker_knows)
    with pytest.raises(RetryLater, match=f"{name} could not be described: UnknownTopicOrPartitionError"):
        await ensure_topics(kafka, topic_prefix, 1, 1, (GAPS,))
