"""Kafka Streams as a peer of the features stage, compiled and run as the benchmark does."""

import pytest

from benchmarks.bus import PARTITIONS, open_reader
from benchmarks.features_check import check
from benchmarks.features_log import make_features_log
from benchmarks.features_topics import JSON_WINDOWS, write_watch_topics
from benchmarks.peers.features_settings import PeerSettings
from benchmarks.peers.kafka_streams.process import MIN_JAVA, KafkaStreamsProcess, find_jdk
from shared.contracts.window import decode_window
from shared.kafka.admin import ensure_topics
from shared.runtime.clock import system_clock

WATCHES = 4
SECONDS = 60


@pytest.mark.skipif(find_jdk() is None, reason=f"needs a JDK {MIN_JAVA} or newer")
async def test_java_gives_every_window_of_the_offline_pipeline(kafka, topic_prefix):
    log = make_features_log(WATCHES, SECONDS, system_clock())
    await write_watch_topics(kafka, topic_prefix, log)
    settings = PeerSettings(kafka, topic_prefix, topic_prefix + JSON_WINDOWS.name, f"{topic_prefix}peer")
    await ensure_topics(kafka, topic_prefix, PARTITIONS, 1, (JSON_WINDOWS,))
    found = []
    with KafkaStreamsProcess(settings):
        reader = await open_reader(kafka, settings.output)
        try:
            while len(found) < len(log.expected):
                record = await reader.getone()
                found.append((record.key.decode(), decode_window(record.value)))
        finally:
            await reader.stop()
    check(log, log.expected, found, own_baseline=True)
