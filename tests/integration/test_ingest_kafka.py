import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.partitioner import DefaultPartitioner
from msgspec.structs import replace

from gaitway.embedded import KafkaBroker, free_port
from services.ingest.producer import KafkaSampleProducer
from services.ingest.settings import IngestSettings
from shared.contracts.errors import RetryLater
from shared.contracts.modality import MODALITY_BY_NAME, MODALITY_NAMES
from shared.contracts.samples import TICK, decode_samples
from shared.contracts.token import make_token
from shared.contracts.upload import Upload, to_records
from shared.kafka.admin import ensure_topics
from tests.integration.kafka_io import delete, limit
from tests.services.ingest.uploads import KEY, upload

PARTITIONS = 3
ROOT = Path(__file__).parents[2]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Ingest:
    """The gateway as a process, and a client of it."""

    def __init__(self, kafka: str, prefix: str = "", **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        values = {"kafka": kafka, "topic_prefix": prefix, "partitions": PARTITIONS, "port": self.port, "tick_ms": 100}
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("GAITWAY_")} | {
            f"GAITWAY_{name.upper()}": str(value) for name, value in (values | {"jwt_key": KEY} | settings).items()
        }
        self.process: asyncio.subprocess.Process | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[httpx.AsyncClient]:
        await self.start()
        headers = {"Authorization": "Bearer " + make_token(KEY, "u1", 3_600)}
        try:
            async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30) as client:
                yield client
        finally:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.communicate()

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.ingest", cwd=ROOT, env=self._environment, stderr=asyncio.subprocess.PIPE
        )

    async def end(self) -> tuple[int, str]:
        """SIGTERM; exit code and log."""
        self.process.terminate()
        return await self.wait()

    async def wait(self) -> tuple[int, str]:
        _, log = await asyncio.wait_for(self.process.communicate(), 60)
        return self.process.returncode, log.decode()


async def status(client: httpx.AsyncClient, path: str) -> int:
    try:
        return (await client.get(path)).status_code
    except httpx.TransportError:
        return 0


async def until(client: httpx.AsyncClient, path: str, wanted: int, timeout_s: float = 90) -> None:
    async with asyncio.timeout(timeout_s):
        while await status(client, path) != wanted:
            await asyncio.sleep(0.05)


def fresh(seq: int = 0) -> dict[str, object]:
    """The example, sent now."""
    body = upload("seq", seq)
    for name in MODALITY_NAMES:
        body[name]["t0_ms"] = int(time.time() * 1000) - 5_000
    return body


async def read(kafka: str, prefix: str) -> list[ConsumerRecord]:
    """All records of the watch topics up to now."""
    partitions = [TopicPartition(f"{prefix}watch.{name}", p) for name in MODALITY_NAMES for p in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
        return found
    finally:
        await consumer.stop()


async def ticked_everywhere(kafka: str, prefix: str, times: int) -> bool:
    ticks = Counter((record.topic, record.partition) for record in await read(kafka, prefix) if record.key is None)
    return len(ticks) == len(MODALITY_NAMES) * PARTITIONS and min(ticks.values()) >= times


async def test_an_upload_becomes_three_records_and_ticks_go_everywhere(kafka, topic_prefix):
    ingest = Ingest(kafka, topic_prefix)
    async with ingest.running() as client:
        await until(client, "/readyz", 200)
        before_ms = int(time.time() * 1000)
        response = await client.post("/v1/uploads", json=fresh(7), headers={"traceparent": TRACE})
        assert (response.status_code, response.content) == (202, b'{"accepted":11}'), response.text
        refused = await client.post("/v1/uploads", json=fresh() | {"user": "u2"})
        assert refused.status_code == 422
        async with asyncio.timeout(60):
            while not await ticked_everywhere(kafka, topic_prefix, times=3):
                await asyncio.sleep(0.1)
        code, log = await ingest.end()
    assert code == 0, log
    assert KEY not in log
    assert "ERROR" not in log

    records = await read(kafka, topic_prefix)
    assert {record.timestamp_type for record in records} == {1}, "LogAppendTime"
    samples = {record.topic: record for record in records if record.key is not None}
    assert len(samples) == len([record for record in records if record.key is not None]) == 3
    for name, modality in MODALITY_BY_NAME.items():
        record = samples[f"{topic_prefix}watch.{name}"]
        assert record.key == b"u1"
        assert record.partition == DefaultPartitioner()(b"u1", list(range(PARTITIONS)), [])
        assert dict(record.headers) == {"traceparent": TRACE.encode()}
        decoded = decode_samples(modality, record.value)
        assert (decoded.seq, decoded.modalities) == (7, MODALITY_NAMES)
        assert before_ms <= decoded.received_at_ms <= record.timestamp + 1_000

    ticks = [(record.topic, record.partition) for record in records if record.key is None]
    assert {record.value for record in records if record.key is None} == {TICK}
    assert set(ticks) == {(f"{topic_prefix}watch.{name}", p) for name in MODALITY_NAMES for p in range(PARTITIONS)}


async def test_the_largest_upload_goes_through(kafka, topic_prefix):
    body = fresh()
    del body["heart_rate"], body["steps"]
    n = 50_000  # three axes just under 1 MiB of JSON; a record of 300 kB, beyond the producer's batch size
    body["accelerometer"] |= {"x": [12] * n, "y": [-3] * n, "z": [98] * n, "rate_hz": 200}
    body["accelerometer"]["t0_ms"] = int(time.time() * 1000) - 250_000
    async with Ingest(kafka, topic_prefix).running() as client:
        await until(client, "/readyz", 200)
        content = json.dumps(body, separators=(",", ":"))
        response = await client.post("/v1/uploads", content=content)
        assert (response.status_code, response.json()) == (202, {"accepted": n})


async def test_what_a_topic_does_not_take_is_413_and_the_rest_is_accepted(kafka, topic_prefix):
    large = fresh()
    large["accelerometer"] |= {axis: [12] * 2_000 for axis in "xyz"}
    large["accelerometer"]["t0_ms"] -= 80_000
    async with Ingest(kafka, topic_prefix).running() as client:
        await until(client, "/readyz", 200)
        assert (await client.post("/v1/uploads", json=large)).status_code == 202
        await limit(kafka, f"{topic_prefix}watch.accelerometer", 5_000)
        # The first to be refused cannot be distinguished from others in its batch; its producer goes with it.
        first = await client.post("/v1/uploads", json=large)
        assert first.status_code in (500, 503, 413)
        await until(client, "/readyz", 200)
        async with asyncio.timeout(30):
            while (answer := await client.post("/v1/uploads", json=large)).status_code != 413:
                await asyncio.sleep(0.1)
        assert "watch.accelerometer takes 5000 bytes" in answer.json()["detail"]
        assert (await client.post("/v1/uploads", json=fresh(1))).status_code == 202
        assert await status(client, "/readyz") == 200


async def test_a_watch_topic_that_was_deleted_is_named_and_made_anew(kafka, topic_prefix):
    ingest = Ingest(kafka, topic_prefix)
    async with ingest.running() as client:
        await until(client, "/readyz", 200)
        await delete(kafka, f"{topic_prefix}watch.steps")
        async with asyncio.timeout(30):
            while "watch.steps" not in (await client.get("/readyz")).json()["waiting"].get("topics", ""):
                await asyncio.sleep(0.1)
        await until(client, "/readyz", 200, timeout_s=60)
        assert (await client.post("/v1/uploads", json=fresh())).status_code == 202
        code, log = await ingest.end()
    assert code == 0
    assert log.count("watch.steps deleted while this service runs") < 5


async def test_without_a_broker_it_serves_and_says_so():
    ingest = Ingest(f"127.0.0.1:{free_port()}")
    async with ingest.running() as client:
        await until(client, "/healthz", 200)
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert "kafka" in response.json()["waiting"]
        response = await client.post("/v1/uploads", json=fresh())
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        code, log = await ingest.end()
    assert code == 0, log


async def test_a_broker_that_goes_and_comes_back():
    with KafkaBroker() as broker:
        ingest = Ingest(broker.bootstrap_servers, publish_timeout_ms=1_000)
        async with ingest.running() as client:
            await until(client, "/readyz", 200)
            assert (await client.post("/v1/uploads", json=fresh(1))).status_code == 202

            os.kill(broker.pid, signal.SIGSTOP)
            response = await client.post("/v1/uploads", json=fresh(2))
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            await until(client, "/readyz", 503)
            os.kill(broker.pid, signal.SIGCONT)
            await until(client, "/readyz", 200)
            assert (await client.post("/v1/uploads", json=fresh(3))).status_code == 202

            broker.kill()
            assert (await client.post("/v1/uploads", json=fresh(4))).status_code == 503
            assert await status(client, "/healthz") == 200
            broker.start()
            await until(client, "/readyz", 200)
            assert (await client.post("/v1/uploads", json=fresh(5))).status_code == 202

            broker.kill()
            assert (await client.post("/v1/uploads", json=fresh(6))).status_code == 503
            code, log = await ingest.end()  # with a record that cannot be delivered
        assert code == 0, log
        assert "could not be delivered" in log
        for sign in ("Traceback", "never retrieved", "Unclosed", "is pending"):
            assert sign not in log
        assert len(log.splitlines()) < 40, "a broker that is away fills no disk"


async def acknowledged_tick(publisher: KafkaSampleProducer) -> int:
    """Of a broker that has just begun to answer, and may take longer than the bound at first."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await publisher.tick()
            except RetryLater:
                await asyncio.sleep(0.1)


async def test_a_producer_that_is_dropped_leaves_nothing_behind(topic_prefix):
    with KafkaBroker() as broker:
        settings = IngestSettings(
            kafka=broker.bootstrap_servers,
            topic_prefix=topic_prefix,
            partitions=PARTITIONS,
            jwt_key=KEY,
            publish_timeout_ms=300,
            buffer_bytes=1024**2,
        )
        await ensure_topics(broker.bootstrap_servers, topic_prefix, PARTITIONS, 1)
        publisher = KafkaSampleProducer(settings)
        with pytest.raises(RetryLater, match="not connected"):
            await publisher.tick()
        await publisher.start()
        assert await acknowledged_tick(publisher) == 3 * PARTITIONS

        os.kill(broker.pid, signal.SIGSTOP)
        with pytest.raises(RetryLater, match=r"not acknowledged within 0\.3 s"):
            await publisher.tick()
        # Records of 60 kB: of 30 at a time 18 are taken, whether the producer has a place for them or not.
        record = replace(
            to_records(msgspec.convert(fresh(), Upload), round(time.time() * 1000))[0],
            samples=np.zeros((3, 10_000), "<i2"),
        )
        for _ in range(2):
            refusals = await asyncio.gather(
                *(publisher.publish("u1", [record], TRACE.encode()) for _ in range(30)), return_exceptions=True
            )
            assert all(isinstance(refusal, RetryLater) for refusal in refusals)
            assert 12 <= sum("already wait" in str(refusal) for refusal in refusals) < 30
        with pytest.raises(RetryLater, match=r"not acknowledged within 0\.3 s"):
            await publisher.tick()
        await publisher.drop()

        os.kill(broker.pid, signal.SIGCONT)
        await publisher.start()
        assert await acknowledged_tick(publisher) == 3 * PARTITIONS
        await publisher.stop()


async def test_requests_in_flight_are_finished_on_sigterm(kafka, topic_prefix):
    ingest = Ingest(kafka, topic_prefix, linger_ms=1_000)
    written = asyncio.Event()

    async def trace(event: str, _: object) -> None:
        if event == "http11.send_request_body.complete":
            written.set()

    async with ingest.running() as client:
        await until(client, "/readyz", 200)
        sending = asyncio.create_task(client.post("/v1/uploads", json=fresh(), extensions={"trace": trace}))
        await asyncio.wait_for(written.wait(), 60)
        assert await status(client, "/healthz") == 200  # which it has read after the upload
        code, log = await ingest.end()
        assert (await sending).status_code == 202
    assert code == 0, log


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"jwt_key": "short"}, "GAITWAY_JWT_KEY"), ({"tick_ms": "soon"}, "GAITWAY_TICK_MS")],
)
async def test_a_bad_setting_ends_it_with_one_line(settings, named):
    ingest = Ingest("127.0.0.1:1", **settings)
    await ingest.start()
    code, log = await ingest.wait()
    assert code == 1
    assert log.count("\n") == 1
    assert named in log
    assert "short" not in log


async def test_a_taken_port_ends_it_with_a_clear_line():
    first = Ingest(f"127.0.0.1:{free_port()}")
    async with first.running() as client:
        await until(client, "/healthz", 200)
        second = Ingest("127.0.0.1:1", port=first.port)
        await second.start()
        code, log = await second.wait()
    assert code == 1
    assert log.splitlines()[-1] == f"ingest: cannot listen on 127.0.0.1:{first.port}: Address already in use"
    assert "Traceback" not in log


async def test_other_partition_counts_are_named(kafka, topic_prefix):
    async with Ingest(kafka, topic_prefix).running() as client:
        await until(client, "/readyz", 200)
    other = Ingest(kafka, topic_prefix, partitions=PARTITIONS + 1)
    await other.start()
    code, log = await other.wait()
    assert code == 1
    assert f"{topic_prefix}watch.steps has {PARTITIONS} partitions, not {PARTITIONS + 1}" in log.splitlines()[-1]
