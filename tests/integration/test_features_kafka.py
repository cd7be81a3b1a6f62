import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import OffsetAndMetadata
from msgspec.structs import replace
from redis.asyncio import Redis

from services.features import consumer as consumer_module
from services.features.baseline_store import BaselineStore
from services.features.consumer import BatchConsumer
from services.features.processor import Processor
from services.features.producer import KafkaWindowProducer
from services.features.settings import FeaturesSettings
from services.features.stored_user import UserWrite
from shared.contracts.modality import MODALITY_NAMES
from shared.contracts.samples import TICK
from shared.contracts.topics import REJECTED, SAMPLE_TOPICS, WINDOWS
from shared.contracts.window import decode_window
from shared.kafka.admin import ensure_topics
from shared.kafka.dead_letters import DeadLetterLimit
from shared.kafka.health import ConsumerHealth
from tests.bundles import random_bundle
from tests.e2e.harness import until
from tests.integration.kafka_io import (
    NOT_UTF8,
    commits,
    headers_of,
    producer,
    read,
    read_until,
    write_names_that_are_not_utf8,
)
from tests.shared.windows.signals import BASE_MS, wearer

PARTITIONS = 4
HOP_MS = 10_000
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def bus(kafka, topic_prefix) -> str:
    """The prefix of topics that exist."""
    await ensure_topics(kafka, topic_prefix, PARTITIONS, 1)
    return topic_prefix


class FeaturesWorker:
    """The service without Faust's worker around it."""

    def __init__(self, kafka: str, prefix: str, redis: str, redis_prefix: str, **changes: object) -> None:
        values = {
            "kafka": kafka,
            "topic_prefix": prefix,
            "partitions": PARTITIONS,
            "redis": redis,
            "redis_prefix": redis_prefix,
            "grace_s": 60.0,  # nothing here waits for it: a busy machine is late with the rest of a window
            "session_timeout_ms": 6_000,
            "commit_interval_ms": 50,
            "phase_per_user": False,  # so that uploads of whole hops are whole windows of every person
            "save_after_s": 0,
        }
        settings = FeaturesSettings(**values | changes)
        names = [prefix + spec.name for spec in SAMPLE_TOPICS.values()]
        self.store = BaselineStore(settings.redis, settings.redis_prefix)
        self.publisher = KafkaWindowProducer(settings.kafka, prefix)
        self.health = ConsumerHealth(settings.stalled_after_s)
        share = DeadLetterLimit(settings.dlq_max_ratio, settings.dlq_min_records)
        self.processor = Processor(self.store, self.publisher, self.health, names, 1_000, share)
        self.consumer = BatchConsumer(settings, self.processor, self.health, names)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FeaturesWorker"]:
        await self.publisher.start()
        work = asyncio.create_task(self.consumer.run(self.consumer.process))
        try:
            yield self
        finally:
            await self.consumer.stop()
            work.cancel()
            await asyncio.wait({work})
            await self.publisher.stop()
            await self.store.close()

    async def owns(self, count: int) -> None:
        await until(lambda: len(self.processor.partitions) == count, f"{count} partitions")


class Watches:
    """The gateway's side of the log: ticks, and the uploads of people who live in the past minutes."""

    def __init__(self, kafka_producer: AIOKafkaProducer, prefix: str) -> None:
        self.producer = kafka_producer
        self._prefix = prefix
        self.base_ms = int(time.time() * 1000) // 20_000 * 20_000 - 200_000

    def name(self, topic: int) -> str:
        return f"{self._prefix}watch.{MODALITY_NAMES[topic]}"

    async def upload(
        self, person: int, from_ms: int, to_ms: int, headers: Sequence[tuple[str, bytes]] = ()
    ) -> list[tuple[str, int]]:
        """The topics and offsets of its records."""
        placed = []
        for topic, record in enumerate(wearer(person, seconds=120).upload(from_ms, to_ms, seq=from_ms)):
            shifted = replace(record, t0_ms=record.t0_ms - BASE_MS + self.base_ms)
            sent = await self.producer.send_and_wait(
                self.name(topic),
                shifted.encode(),
                key=b"u%d" % person,
                partition=person % PARTITIONS,
                headers=headers,
            )
            placed.append((self.name(topic), sent.offset))
        return placed

    async def tick(self) -> None:
        for topic in range(3):
            for partition in range(PARTITIONS):
                await self.producer.send(self.name(topic), TICK, partition=partition)

    def windows(self, person: int, from_ms: int, to_ms: int) -> set[tuple[str, int]]:
        """Those that a span without gaps fills."""
        return {(f"u{person}", self.base_ms + start) for start in range(from_ms, to_ms - 20_000 + 1, HOP_MS)}

    async def stream(self, person: int, from_ms: int, to_ms: int) -> None:
        """Uploads of 5 s."""
        for begin_ms in range(from_ms, to_ms, 5_000):
            await self.upload(person, begin_ms, begin_ms + 5_000)


@asynccontextmanager
async def watches(kafka: str, prefix: str) -> AsyncIterator[Watches]:
    async with producer(kafka) as kafka_producer:
        fleet = Watches(kafka_producer, prefix)

        async def tick() -> None:
            while True:
                await fleet.tick()
                await asyncio.sleep(0.1)

        ticking = asyncio.create_task(tick())
        try:
            yield fleet
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking


def windows_of(records) -> dict[tuple[str, int], set[bytes]]:
    windows: dict[tuple[str, int], set[bytes]] = {}
    for record in records:
        key = (record.key.decode(), decode_window(record.value).window_start_ms)
        windows.setdefault(key, set()).add(record.value)
    return windows


async def windows_until(kafka: str, prefix: str, expected: set[tuple[str, int]]) -> dict[tuple[str, int], set[bytes]]:
    found = await read_until(
        kafka, prefix + WINDOWS.name, PARTITIONS, lambda records: windows_of(records).keys() >= expected
    )
    return windows_of(found)


async def test_invalid_records_are_rejected_and_windows_go_on(kafka, bus, redis_url, redis_prefix):
    worker = FeaturesWorker(kafka, bus, redis_url, redis_prefix)
    poison: Sequence[tuple[bytes | None, bytes]] = [
        (b"u0", b"\xc1"),
        (b"u0", b"\x81\xa1z" + b"\x91" * 50_000),
        (None, b"no key"),
        (b"\xff", b"\x81\xa6device\xa1\xff"),
        (b"u0", b"\xc1" + bytes(1_048_470)),  # nearly as much as a topic takes
    ]
    async with watches(kafka, bus) as fleet, worker.running():
        await fleet.upload(0, 0, 15_000)
        async with producer(kafka) as anybody:
            sent = [
                await anybody.send_and_wait(fleet.name(0), value, key=key, partition=0, headers=[("traceparent", None)])
                for key, value in poison
            ]
        write_names_that_are_not_utf8(fleet.producer)
        await fleet.upload(0, 15_000, 60_000, headers=[(NOT_UTF8, b"")])
        expected = fleet.windows(0, 0, 60_000)
        assert (await windows_until(kafka, bus, expected)).keys() == expected
    rejected = await read(kafka, bus + REJECTED.name, PARTITIONS)
    assert [(record.key, record.value) for record in rejected] == list(poison)
    assert [int(headers_of(record)["origin_offset"]) for record in rejected] == [item.offset for item in sent]
    for record in rejected:
        headers = headers_of(record)
        assert (headers["service"], headers["origin_topic"]) == (b"features", fleet.name(0).encode())
        assert (headers["origin_partition"], record.partition) == (b"0", 0)
        assert headers["reason"]


async def test_commits_wait_for_open_windows_and_carry_the_log_time(kafka, bus, redis_url, redis_prefix):
    group = f"{bus}features"
    began_ms = time.time() * 1000 - 1_000
    async with watches(kafka, bus) as fleet:
        first = FeaturesWorker(kafka, bus, redis_url, redis_prefix, grace_s=60.0)
        async with first.running():
            await fleet.upload(0, 0, 40_000)
            await windows_until(kafka, bus, fleet.windows(0, 0, 40_000))
            await fleet.upload(1, 0, 20_000)
            half = await fleet.upload(0, 40_000, 55_000)
            # Partition 2 holds nothing but ticks.
            idle = TopicPartition(fleet.name(0), 2)

            async def all_committed() -> bool:
                held = await commits(kafka, group)
                return len(held) == 3 * PARTITIONS and held[idle].offset > 3

            await until(all_committed, "a commit of every partition")
        held = await commits(kafka, group)
        # Person 0's last upload, and the one before it, lie in windows that are still open.
        for topic, offset in half:
            assert held[TopicPartition(topic, 0)].offset <= offset
        assert all(began_ms < int(commit.metadata) < time.time() * 1000 + 1_000 for commit in held.values())

        second = FeaturesWorker(kafka, bus, redis_url, redis_prefix, grace_s=60.0)
        async with second.running():
            await second.owns(PARTITIONS)
            released = second.processor.partitions[2]._released
            assert released[0] is None or released[0] >= (held[idle].offset, int(held[idle].metadata))
            await fleet.upload(0, 55_000, 70_000)
            expected = fleet.windows(0, 0, 70_000) | fleet.windows(1, 0, 20_000)
            windows = await windows_until(kafka, bus, expected)
        assert windows.keys() == expected
        assert all(len(values) == 1 for values in windows.values())
    records = await read(kafka, bus + WINDOWS.name, PARTITIONS)
    # A restart in good order repeats nothing: what was closed is in Redis.
    assert len(records) == len(expected)


async def test_a_restart_begins_at_the_committed_log_time(kafka, bus, redis_url, redis_prefix, monkeypatch):
    starts: list[dict] = []

    class Spying(consumer_module.PartitionTask):
        def __init__(self, number, hop_ms, grace_ms, start, **more):
            starts.append({number: list(start)})
            super().__init__(number, hop_ms, grace_ms, start, **more)

    async with watches(kafka, bus) as fleet:
        async with FeaturesWorker(kafka, bus, redis_url, redis_prefix).running():
            await fleet.upload(0, 0, 20_000)
            await windows_until(kafka, bus, fleet.windows(0, 0, 20_000))
        held = await commits(kafka, f"{bus}features")
        monkeypatch.setattr(consumer_module, "PartitionTask", Spying)
        worker = FeaturesWorker(kafka, bus, redis_url, redis_prefix)
        async with worker.running():
            await worker.owns(PARTITIONS)
    assert starts[-1] == {
        3: [
            (held[TopicPartition(fleet.name(t), 3)].offset, int(held[TopicPartition(fleet.name(t), 3)].metadata))
            for t in range(3)
        ]
    }


async def test_a_second_worker_joins_and_leaves_and_nothing_is_lost(kafka, bus, redis_url, redis_prefix):
    people, step_ms = range(2 * PARTITIONS), 5_000
    expected: set[tuple[str, int]] = set()
    async with watches(kafka, bus) as fleet:
        uploaded_ms = 0

        async def upload(rounds: int) -> None:
            nonlocal uploaded_ms
            for _ in range(rounds):
                for person in people:
                    await fleet.upload(person, uploaded_ms, uploaded_ms + step_ms)
                uploaded_ms += step_ms
                await asyncio.sleep(0.1)

        settings = {"redis": redis_url, "redis_prefix": redis_prefix, "grace_s": 30.0}
        first = FeaturesWorker(kafka, bus, **settings, instance="a")
        async with first.running():
            await first.owns(PARTITIONS)
            await upload(5)
            second = FeaturesWorker(kafka, bus, **settings, instance="b")
            async with second.running():
                uploading = asyncio.create_task(upload(5))
                await second.owns(PARTITIONS // 2)
                await first.owns(PARTITIONS // 2)
                await uploading
                await upload(2)
            uploading = asyncio.create_task(upload(5))
            await first.owns(PARTITIONS)
            await uploading
            for person in people:
                expected |= fleet.windows(person, 0, uploaded_ms)
            windows = await windows_until(kafka, bus, expected)
    assert windows.keys() == expected
    # What was published on both sides of a move was the same both times, baseline included.
    assert all(len(values) == 1 for values in windows.values())
    store = BaselineStore(redis_url, redis_prefix)
    stored = await store.load([f"u{person}" for person in people])
    await store.close()
    counts = {user: int(state.baseline.accelerometer[0].sum()) for user, state in stored.items()}
    assert set(counts.values()) == {(len(expected) // len(people)) * HOP_MS * 25 // 1000}


async def test_switch_of_the_phases_between_two_runs(kafka, bus, redis_url, redis_prefix):
    """u5 has the phase 6 s. The window at 40 s is final when the phases come, so its slot has no window at 46 s."""
    async with watches(kafka, bus) as fleet:
        async with FeaturesWorker(kafka, bus, redis_url, redis_prefix).running():
            await fleet.stream(5, 0, 60_000)
            expected = fleet.windows(5, 0, 60_000)
            await windows_until(kafka, bus, expected)
        async with FeaturesWorker(kafka, bus, redis_url, redis_prefix, phase_per_user=True).running():
            await fleet.stream(5, 60_000, 120_000)
            expected |= fleet.windows(5, 56_000, 120_000)
            assert (await windows_until(kafka, bus, expected)).keys() == expected


async def test_worker_that_finds_another_writer_restarts_at_the_last_commit(
    kafka, bus, redis_url, redis_prefix, caplog
):
    worker = FeaturesWorker(kafka, bus, redis_url, redis_prefix, grace_s=60.0, commit_interval_ms=60_000)
    async with watches(kafka, bus) as fleet, worker.running():
        await fleet.upload(0, 0, 25_000)
        await windows_until(kafka, bus, fleet.windows(0, 0, 25_000))
        other = BaselineStore(redis_url, redis_prefix)

        async def is_folded() -> bool:
            return (await other.load(["u0"]))["u0"].seq > 0

        await until(is_folded, "the fold of the first window")
        stored = (await other.load(["u0"]))["u0"]
        await other.write([UserWrite("u0", stored.seq, stored.baseline.to_bytes(), {}, [])])
        await other.close()
        await fleet.upload(0, 25_000, 30_000)  # closes a window: the write that follows is refused
        await fleet.upload(0, 30_000, 50_000)
        expected = fleet.windows(0, 0, 50_000)
        windows = await windows_until(kafka, bus, expected)
    assert "restarting from the last commit" in caplog.text
    assert windows.keys() == expected
    assert all(len(values) == 1 for values in windows.values())


async def test_redis_key_of_another_type_affects_one_user_and_commits_go_on(
    kafka, bus, redis_url, redis_prefix, caplog
):
    expected: set[tuple[str, int]] = set()
    async with watches(kafka, bus) as people, Redis.from_url(redis_url) as client:
        await client.rpush(f"{redis_prefix}user:u0", "no", "user")
        worker = FeaturesWorker(kafka, bus, redis_url, redis_prefix, grace_s=2.0)
        async with worker.running():
            for round_ms in (0, 30_000):
                for person in range(PARTITIONS):
                    await people.upload(person, round_ms, round_ms + 30_000)
                    expected |= people.windows(person, round_ms, round_ms + 30_000)
                await windows_until(kafka, bus, expected)
                before = await commits(kafka, f"{bus}features")
                if round_ms == 0:
                    # The key of one whose state is in memory is another program's by now.
                    await client.set(f"{redis_prefix}user:u1", "x")

            async def commits_move() -> bool:
                now = await commits(kafka, f"{bus}features")
                return (
                    all(now[tp].offset > commit.offset for tp, commit in before.items())
                    and "redis" not in worker.health.not_ready
                )

            async with asyncio.timeout(30):
                while not await commits_move():
                    await asyncio.sleep(0.1)
        # Between the rounds a window may close with what it has.
        assert expected <= (await windows_until(kafka, bus, expected)).keys()
        assert await client.lrange(f"{redis_prefix}set-aside:user:u0", 0, -1) == [b"no", b"user"]
        assert await client.get(f"{redis_prefix}set-aside:user:u1") == b"x"
        assert [await client.type(f"{redis_prefix}user:u{person}") for person in range(PARTITIONS)] == [b"hash"] * 4
    assert len([record for record in caplog.records if "is no user" in record.getMessage()]) == 2


async def test_commits_that_cannot_be_read_at_once_are_read_later(kafka, bus, redis_url, redis_prefix, monkeypatch):
    failures = 2
    committed = BatchConsumer._committed

    async def failing(self, assigned):
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise KafkaConnectionError("away")
        return await committed(self, assigned)

    monkeypatch.setattr(BatchConsumer, "_committed", failing)
    async with watches(kafka, bus) as fleet, FeaturesWorker(kafka, bus, redis_url, redis_prefix).running():
        await fleet.upload(0, 0, 20_000)
        expected = fleet.windows(0, 0, 20_000)
        assert (await windows_until(kafka, bus, expected)).keys() == expected


async def test_assignment_that_fails_for_good_ends_the_worker(kafka, bus, redis_url, redis_prefix, monkeypatch):
    async def broken(self, assigned):
        raise ZeroDivisionError

    monkeypatch.setattr(BatchConsumer, "_committed", broken)
    worker = FeaturesWorker(kafka, bus, redis_url, redis_prefix)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(worker.consumer.run(worker.consumer.process), 60)
    await worker.consumer.stop()


async def test_commit_without_metadata_has_no_log_time(kafka, bus, redis_url, redis_prefix):
    async with watches(kafka, bus) as fleet:
        operator = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=f"{bus}features", enable_auto_commit=False)
        await operator.start()
        operator.assign([TopicPartition(fleet.name(0), 0)])
        await operator.commit({TopicPartition(fleet.name(0), 0): OffsetAndMetadata(0, "reset by hand")})
        await operator.stop()
        async with FeaturesWorker(kafka, bus, redis_url, redis_prefix).running():
            await fleet.upload(0, 0, 20_000)
            expected = fleet.windows(0, 0, 20_000)
            assert (await windows_until(kafka, bus, expected)).keys() == expected


# The services as processes: what does not fit ends them with one line


def serve(service: str, **settings: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GAITWAY_")}
    environment |= {f"GAITWAY_{name.upper()}": str(value) for name, value in ({"health_port": 0} | settings).items()}
    command = [sys.executable, "-m", "gaitway", "serve", service]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("service", ["features", "inference"])
async def test_a_topic_that_does_not_match_stops_the_service(service, kafka, topic_prefix, tmp_path):
    await ensure_topics(kafka, topic_prefix, 3, 1)
    settings = {"kafka": kafka, "topic_prefix": topic_prefix, "partitions": 4, "log_level": "ERROR"}
    bundle = {"model": random_bundle(tmp_path / "bundle")} if service == "inference" else {}
    ended = await asyncio.to_thread(serve, service, **settings, **bundle)
    assert ended.returncode not in (0, None), ended.stderr
    assert f"{topic_prefix}activity.windows has 3 partitions, not 4" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_bundle_of_other_features_stops_inference_with_one_line(tmp_path):
    manifest = random_bundle(tmp_path) / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"feature_version": 9}))
    ended = serve("inference", kafka="127.0.0.1:1", model=tmp_path, log_level="ERROR")
    assert ended.returncode == 1
    assert ended.stderr == f"gaitway: {manifest}: feature_version 9, the features are 1\n"
