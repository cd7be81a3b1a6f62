"""Everything that a chaos run may hurt: broker, Redis, the services, some of them twice."""

import asyncio
import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from gaitway.demo.processes import ServiceProcess
from gaitway.embedded import FAST_RESTART, KafkaBroker, ValkeyServer
from gaitway.embedded.cluster import three_nodes
from gaitway.embedded.process import ServerProcess

PARTITIONS = 4
HOP_MS = 10_000
JWT_KEY = "a key for tests, of 32 bytes and more"
TICK_MS = 200
WATCH_TOPICS = ("watch.accelerometer", "watch.heart_rate", "watch.steps")
WINDOWS_TOPIC = "activity.windows"
EVENTS_TOPIC = "activity.events"
SHADOW_TOPIC = "activity.events.shadow"


class Pipeline:
    """The servers by name: ingest, features-N, inference-N, broker-N, redis. Logs stay in ``folder``."""

    def __init__(
        self,
        folder: Path,
        *,
        rollout: Path,
        brokers: int,
        workers: int,
        grace_s: float,
        session_timeout_ms: int,
        inject_fault: str,
    ) -> None:
        kafka = folder / "kafka"
        nodes = three_nodes(kafka, FAST_RESTART) if brokers == 3 else [KafkaBroker(kafka, properties=FAST_RESTART)]
        self.brokers = {f"broker-{number}": node for number, node in enumerate(nodes)}
        self.redis = ValkeyServer(folder / "redis")
        self.kafka = ",".join(node.bootstrap_servers for node in nodes)
        common: dict[str, object] = {
            "kafka": self.kafka,
            "partitions": PARTITIONS,
            "replication_factor": len(nodes),
            "hop_ms": HOP_MS,
        }
        if inject_fault:
            common["inject_fault"] = inject_fault
        group = common | {"session_timeout_ms": session_timeout_ms}
        settings: dict[str, dict[str, object]] = {
            "ingest": common | {"jwt_key": JWT_KEY, "tick_ms": TICK_MS},
            "features": group | {"redis": self.redis.url, "grace_s": grace_s, "commit_interval_ms": 500},
            "inference": group | {"rollout": rollout.resolve()},
        }
        self.services: dict[str, ServiceProcess] = {
            name: ServiceProcess(service, settings[service] | {"instance": instance}, data_dir=folder / name)
            for service in settings
            for instance in range(1 if service == "ingest" else workers)
            for name in [service if service == "ingest" else f"{service}-{instance}"]
        }
        self._running = ExitStack()

    @property
    def servers(self) -> dict[str, ServerProcess]:
        """Every process by name."""
        return {**self.brokers, "redis": self.redis, **self.services}

    def __enter__(self) -> Self:
        with ExitStack() as running:
            outside: list[ServerProcess] = [*self.brokers.values(), self.redis]
            for server in outside:
                running.callback(server.stop)
            start_all(outside)
            for service in self.services.values():
                running.callback(service.stop)
            start_all(self.services.values())
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def ended_by_themselves(self) -> list[str]:
        """Servers that do not run, with the last line of their log."""
        return [f"{name}: {_last_line(server.log_path)}" for name, server in self.servers.items() if not server.running]

    async def settle(self, timeout_s: float) -> str:
        """Wait until what was sent is assembled and classified; returns what is still behind, if anything."""
        deadline_s = time.monotonic() + timeout_s
        for group, topics in (("features", WATCH_TOPICS), ("inference", (WINDOWS_TOPIC,))):
            ends = await self.end_offsets(topics)
            while behind := await self._behind(group, ends):
                if time.monotonic() > deadline_s:
                    return f"{group} is behind: {behind}"
                await asyncio.sleep(0.3)
        return ""

    async def _behind(self, group: str, ends: dict[TopicPartition, int]) -> dict[str, int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        try:
            await admin.start()
            committed = await admin.list_consumer_group_offsets(group, partitions=list(ends))
        except KafkaError as error:
            return {repr(error): 1}
        finally:
            await admin.close()
        late = {tp: end - max(committed[tp].offset, 0) for tp, end in ends.items()}
        return {f"{tp.topic}-{tp.partition}": n for tp, n in late.items() if n > 0}

    async def end_offsets(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        """Where the topics end for a read_committed consumer."""
        consumer = await self.consumer(topics)
        try:
            return dict(await consumer.end_offsets(consumer.assignment()))
        finally:
            await consumer.stop()

    async def consumer(self, topics: Iterable[str]) -> AIOKafkaConsumer:
        """A read_committed consumer of all partitions of the topics, at their beginning."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        consumer.assign([TopicPartition(topic, p) for topic in topics for p in range(PARTITIONS)])
        return consumer


class Tail:
    """Reads the events while they come, so that it is known when; a consumer that a fault confuses is replaced."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._next: dict[int, int] = {}
        self.read_ms: dict[tuple[int, int], float] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self._read()
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(0.3)
            except asyncio.CancelledError:
                # While the broker is away aiokafka's stop() lets the end of its own tasks out; only ours ends this one.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise

    async def _read(self) -> None:
        consumer = await self._pipeline.consumer((EVENTS_TOPIC,))
        try:
            for partition, offset in self._next.items():
                consumer.seek(TopicPartition(EVENTS_TOPIC, partition), offset)
            last_s = time.monotonic()
            # aiokafka may hang after a broker's restart without a sign: silence, too, makes a new one.
            while time.monotonic() - last_s < 5:
                for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                    last_s = time.monotonic()
                    now_ms = time.time() * 1000
                    self.read_ms |= {(tp.partition, record.offset): now_ms for record in records}
                    self._next[tp.partition] = records[-1].offset + 1
        finally:
            await consumer.stop()


async def all_events(
    pipeline: Pipeline, read_ms: dict[tuple[int, int], float], topic: str = EVENTS_TOPIC
) -> list[dict[str, Any]]:
    """Every committed event of a topic as a line for the checker."""
    found = []
    consumer = await pipeline.consumer((topic,))
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found += [
                    {
                        "partition": tp.partition,
                        "offset": record.offset,
                        "key": record.key.decode(),
                        "headers": {name: value.decode() for name, value in record.headers},
                        "data": json.loads(record.value),
                        "read_ms": read_ms.get((tp.partition, record.offset)),
                    }
                    for record in records
                ]
    finally:
        await consumer.stop()
    return found


def start_all(servers: Iterable[ServerProcess]) -> None:
    """Start servers side by side."""
    todo = list(servers)
    with ThreadPoolExecutor(len(todo)) as pool:
        list(pool.map(ServerProcess.start, todo))


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it logged nothing"
