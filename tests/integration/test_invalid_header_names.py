"""A record whose header has a name that is not UTF-8 comes like any other, with the records around it."""

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record import memory_records

from shared.contracts import topics
from shared.kafka.admin import ensure_topics
from shared.kafka.aiokafka_patches import tolerate_invalid_header_names
from tests.integration.kafka_io import NOT_UTF8, write_names_that_are_not_utf8


@pytest.fixture(params=["compiled", "python"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", fetcher.MemoryRecords)
    tolerate_invalid_header_names()
    if request.param == "python":
        monkeypatch.setattr("shared.kafka.aiokafka_patches.MemoryRecords", memory_records._MemoryRecordsPy)


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.usefixtures("reader")
async def test_no_record_of_its_batch_is_lost(kafka, topic_prefix, compression):
    await ensure_topics(kafka, topic_prefix, 1, 1)
    tp = TopicPartition(topic_prefix + topics.REJECTED.name, 0)
    async with AIOKafkaProducer(bootstrap_servers=kafka, compression_type=compression, linger_ms=200) as producer:
        write_names_that_are_not_utf8(producer)
        headers = [[], [("good", b"1"), (NOT_UTF8, b"2")], [("good", b"3"), ("none", None)]]
        sent = [
            await producer.send(tp.topic, b"%d" % n, partition=0, headers=fields) for n, fields in enumerate(headers)
        ]
        for future in sent:
            await future
        await producer.send_and_wait(tp.topic, b"3", partition=0)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([tp])
        found = []
        for _ in range(20):
            found += (await consumer.getmany(timeout_ms=500)).get(tp, [])
            if len(found) == 4:
                break
    finally:
        await consumer.stop()
    assert [(record.offset, record.value) for record in found] == [(n, b"%d" % n) for n in range(4)]
    assert found[1].headers == (("good", b"1"), ("\\xff\\xfename", b"2"))
    assert found[2].headers == (("good", b"3"), ("none", None))
