"""Memory stays bounded: in the gateway while the broker takes nothing, in features while one topic runs ahead.

Each test prints what it has measured (`pytest -s`).
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest
from aiokafka import AIOKafkaProducer

from gaitway.demo.processes import ServiceProcess
from gaitway.embedded import KafkaBroker, ValkeyServer
from shared.contracts import topics
from shared.contracts.modality import ACCELEROMETER, MODALITY_NAMES
from shared.contracts.samples import TICK, SampleRecord
from shared.contracts.token import make_token
from shared.kafka.admin import ensure_topics
from tests.e2e.harness import HTTP_S, JWT_KEY, until
from tests.integration.kafka_io import commits, producer, read

MIB = 1024**2
BUFFER_BYTES = MIB
MAX_GROWTH_MIB = 64
"""Of resident memory over the idle process: what the two tests promise."""

USERS = 40
CONNECTIONS = 200
SAMPLES = 5_000
"""Of one upload: 30 kB in the log, some 80 kB as JSON."""


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker() as broker:
        yield broker


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@contextmanager
def stopped(server: KafkaBroker) -> Iterator[None]:
    """SIGSTOP: connections stay open and nothing is answered."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def resident_mib(pid: int, what: str = "VmRSS") -> float:
    """Resident memory of a process; VmHWM is its peak."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what + ":")).split()[1]) / 1024


async def metric(service: ServiceProcess, name: str) -> float:
    async with httpx.AsyncClient(trust_env=False, timeout=HTTP_S) as client:
        page = (await client.get(f"{service.url}/metrics")).text
    samples = [line.rsplit(" ", 1) for line in page.splitlines() if line.partition("{")[0].split(" ")[0] == name]
    return sum(float(value) for _, value in samples)


@dataclass
class Answers:
    """What the gateway said."""

    by_status: Counter[int] = field(default_factory=Counter)
    buffer_full: int = 0
    without_retry_after: int = 0

    def note(self, answer: httpx.Response) -> None:
        self.by_status[answer.status_code] += 1
        if answer.status_code != 202:
            self.buffer_full += "already wait for Kafka" in answer.json()["detail"]
            self.without_retry_after += int(answer.headers.get("retry-after", "0")) < 1


def body(seq: int) -> bytes:
    """An upload of 200 s of accelerometer that just ended."""
    now_ms = time.time_ns() // 1_000_000
    axis = np.random.default_rng(seq).integers(-999, 999, SAMPLES).tolist()
    part = {"t0_ms": now_ms - SAMPLES * 40, "rate_hz": 25, "unit": "mg", "x": axis, "y": axis, "z": axis}
    return msgspec.json.encode({"device": "d", "session": "s", "seq": seq, "sent_at_ms": now_ms, "accelerometer": part})


async def offer(url: str, uploads: int, *, at_a_time: int) -> Answers:
    """So many uploads, none sent again."""
    answers = Answers()
    tokens = [make_token(JWT_KEY, f"u{number}") for number in range(USERS)]
    seqs = iter(range(uploads))
    limits = httpx.Limits(max_connections=at_a_time, max_keepalive_connections=at_a_time)
    payloads = [body(seq) for seq in range(8)]
    async with httpx.AsyncClient(base_url=url, timeout=HTTP_S, trust_env=False, limits=limits) as client:

        async def send() -> None:
            for seq in seqs:
                headers = {"Authorization": f"Bearer {tokens[seq % USERS]}"}
                answers.note(await client.post("/v1/uploads", content=payloads[seq % len(payloads)], headers=headers))

        await asyncio.gather(*(send() for _ in range(at_a_time)))
    return answers


async def test_stopped_broker_leaves_memory_of_the_gateway_bounded(
    broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    settings = {"kafka": broker.bootstrap_servers, "topic_prefix": topic_prefix, "partitions": 4, "jwt_key": JWT_KEY}
    # On a slow machine the uploads take their time: what fills the buffer must not be given up meanwhile.
    settings |= {"buffer_bytes": BUFFER_BYTES, "publish_timeout_ms": 20_000, "tick_ms": 60_000}
    with ServiceProcess("ingest", settings, data_dir=tmp_path) as ingest:
        # Warm: what one round of uploads leaves in the allocator's pools is not what a stopped broker costs.
        assert (await offer(ingest.url, CONNECTIONS, at_a_time=20)).by_status == {202: CONNECTIONS}
        idle_mib = resident_mib(ingest.pid)
        peaks: list[float] = []

        async def watch() -> None:
            while True:
                peaks.append(resident_mib(ingest.pid))
                await asyncio.sleep(0.02)

        uploads = 10 * BUFFER_BYTES // (SAMPLES * 6) + 2 * CONNECTIONS
        with stopped(broker):
            watching = asyncio.create_task(watch())
            answers = await offer(ingest.url, uploads, at_a_time=CONNECTIONS)
            watching.cancel()
        offered_mib = uploads * SAMPLES * 6 / MIB
        growth_mib = max(peaks) - idle_mib

        async def is_accepted() -> bool:
            return (await offer(ingest.url, 1, at_a_time=1)).by_status[202] == 1

        began_s = time.monotonic()
        await until(is_accepted, "uploads to be accepted again")
        again_s = time.monotonic() - began_s
    print(
        f"\ningest: offered {offered_mib:.1f} MiB to a buffer of {BUFFER_BYTES / MIB:.0f} MiB over {CONNECTIONS} "
        f"connections: {dict(answers.by_status)}, {answers.buffer_full} of them refused at once; "
        f"idle {idle_mib:.1f} MiB, peak +{growth_mib:.1f} MiB; accepted again after {again_s:.2f} s"
    )
    assert offered_mib > 10 * BUFFER_BYTES / MIB
    assert set(answers.by_status) <= {429, 503}
    assert answers.without_retry_after == 0
    # 1 MiB has room for 35 of the 200 uploads that are under way at a time.
    assert answers.buffer_full > uploads / 2
    assert growth_mib < MAX_GROWTH_MIB


RECORDS = 24_000
PEOPLE = 20
RECORD_S = 1
MAX_WAITING = 1_000
MAX_POLL = 500


async def far_ahead(kafka: AIOKafkaProducer, topic: str, now_ms: int) -> None:
    """``RECORDS`` of accelerometer into partition 0, a second each; they announce nothing else."""
    values = np.random.default_rng(0).normal(0, 200, (3, 25)).astype("<i2")
    begin_ms = now_ms - RECORDS // PEOPLE * RECORD_S * 1_000
    for number in range(RECORDS):
        seq, person = divmod(number, PEOPLE)
        record = SampleRecord(
            modality=ACCELEROMETER,
            device="d",
            session="s",
            seq=seq,
            t0_ms=begin_ms // 20_000 * 20_000 + seq * 1_000,
            rate_hz=25.0,
            received_at_ms=now_ms,
            sent_at_ms=now_ms,
            modalities=("accelerometer",),
            samples=values,
        )
        await kafka.send(topic, record.encode(), key=b"u%d" % person, partition=0)
    await kafka.flush()


async def test_topic_far_ahead_leaves_memory_of_features_bounded(
    broker: KafkaBroker, valkey: ValkeyServer, topic_prefix: str, redis_prefix: str, tmp_path: Path
) -> None:
    kafka = broker.bootstrap_servers
    names = [f"{topic_prefix}watch.{name}" for name in MODALITY_NAMES]
    settings = {
        "kafka": kafka,
        "topic_prefix": topic_prefix,
        "partitions": 1,
        "redis": valkey.url,
        "redis_prefix": redis_prefix,
        "grace_s": 1,
        "commit_interval_ms": 200,
        "phase_per_user": False,
        "max_buffered_records": MAX_WAITING,
        "max_poll_records": MAX_POLL,
    }
    await ensure_topics(kafka, topic_prefix, 1, 1)
    async with producer(kafka) as anybody:
        for name in names:
            await anybody.send_and_wait(name, TICK, partition=0)
        with ServiceProcess("features", settings, data_dir=tmp_path) as features:
            await asyncio.sleep(1)
            idle_mib = resident_mib(features.pid)
            await far_ahead(anybody, names[0], time.time_ns() // 1_000_000)

            async def waiting() -> float:
                return await metric(features, "gaitway_features_merge_buffered_records")

            async def runs_ahead() -> bool:
                return await waiting() > MAX_WAITING

            await until(runs_ahead, "the topic to run ahead")
            most, peak_mib, deadline_s = 0.0, 0.0, time.monotonic() + 4
            while time.monotonic() < deadline_s:
                most, peak_mib = max(most, await waiting()), max(peak_mib, resident_mib(features.pid))
                await asyncio.sleep(0.1)
            folded_early = await metric(features, "gaitway_features_records_total")

            began_s = time.monotonic()
            end = (await anybody.send_and_wait(names[0], TICK, partition=0)).offset

            async def all_assembled() -> bool:
                # As ingest's ticks do: each says that the topic has nothing older to deliver.
                for name in names:
                    await anybody.send_and_wait(name, TICK, partition=0)
                held = await commits(kafka, f"{topic_prefix}features")
                return max((o.offset for tp, o in held.items() if tp.topic == names[0]), default=0) > end

            await until(all_assembled, "everything to be assembled", pause_s=0.5)
            took_s = time.monotonic() - began_s
            assembled = await metric(features, "gaitway_features_records_total")
            top_mib = resident_mib(features.pid, "VmHWM")
    windows = await read(kafka, topic_prefix + topics.WINDOWS.name, 1)
    print(
        f"\nfeatures: {RECORDS} records ahead, at most {most:.0f} waiting (limit {MAX_WAITING}, poll {MAX_POLL}); idle "
        f"{idle_mib:.1f} MiB, peak +{peak_mib - idle_mib:.1f} MiB while waiting, +{top_mib - idle_mib:.1f} MiB in all; "
        f"caught up in {took_s:.1f} s, {len(windows)} windows"
    )
    assert MAX_WAITING < most <= MAX_WAITING + MAX_POLL + 10
    assert folded_early == 0
    assert assembled == RECORDS
    # Every slot of the grid that a person's records fill, once.
    assert len(windows) == len({(w.key, w.value) for w in windows}) == PEOPLE * (RECORDS // PEOPLE // 10 - 1)
    assert peak_mib - idle_mib < MAX_GROWTH_MIB
    assert top_mib - idle_mib < MAX_GROWTH_MIB
