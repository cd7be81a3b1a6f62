"""The three real services as processes of one test, and what a consumer of their events sees in the end."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from gaitway.demo.processes import ServiceProcess
from gaitway.embedded.process import ServerProcess
from gaitway.events import EventReader
from gaitway.expected import expected_windows
from gaitway.replay import Watch, make_watch
from shared.contracts import topics
from shared.contracts.token import make_token
from training.datasets import read_recording
from training.offline import OfflineWindow, offline_windows
from training.upload_simulator import uploads

JWT_KEY = "a key for tests, of 32 bytes and more"
PARTITIONS = 4
STOP_S = 60.0
"""All of these time limits end a test that hangs; a busy machine is far from them."""
HTTP_S = 30.0
ABSTAIN_BELOW = 0.3
"""Of the bundle in these tests."""

WindowKey = tuple[str, int]
"""(user, window_start_ms)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One record of activity.events as a read_committed consumer gets it."""

    headers: dict[str, str]
    key: str
    data: dict[str, Any]
    partition: int
    offset: int

    @property
    def window(self) -> WindowKey:
        return self.data["user"], self.data["window_start_ms"]


@dataclass(frozen=True, slots=True)
class TwoParts:
    """Watches whose recordings have a pause that no window spans: between ``early`` and ``late`` a test may wait for as
    long as it takes, and what it does then it does in the middle of the stream.
    """

    folders: dict[str, tuple[Path, Path]]
    early: list[Watch]
    late: list[Watch]

    @property
    def expected(self) -> set[WindowKey]:
        """The windows of the contract, by code that shares nothing with the services."""
        return {
            (watch.name, start)
            for watch in self.early
            for folder in self.folders[watch.name]
            for start in expected_windows(folder, user=watch.name, shift_ms=watch.shift_ms)
        }

    @property
    def offline(self) -> dict[WindowKey, OfflineWindow]:
        """The windows of the offline path, both parts of a person on one baseline."""
        return {
            (early.name, window.raw.window_start_ms + early.shift_ms): window
            for early, late in zip(self.early, self.late, strict=True)
            for window in offline_windows([early.recording, late.recording], user=early.name)
        }


class Pipeline:
    """ingest, features and inference on a broker and a Redis; their logs stay in ``folder``.

    ``grace_s`` must outlast what a test keeps the log waiting for in the middle of a window. ``more``: settings of all
    three.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kafka: str,
        redis: str,
        topic_prefix: str,
        redis_prefix: str,
        model: Path,
        grace_s: float = 5.0,
        session_timeout_ms: int = 10_000,
        **more: object,
    ) -> None:
        self.kafka, self.redis, self.prefix, self.redis_prefix = kafka, redis, topic_prefix, redis_prefix
        common = {"kafka": kafka, "topic_prefix": topic_prefix, "partitions": PARTITIONS, **more}
        group = common | {"session_timeout_ms": session_timeout_ms}
        self.ingest = ServiceProcess(
            "ingest", common | {"jwt_key": JWT_KEY, "tick_ms": 100}, data_dir=folder / "ingest"
        )
        # A commit waits until users are written, which tests that wait for commits need not see every time.
        saving = {"redis": redis, "redis_prefix": redis_prefix, "grace_s": grace_s, "save_after_s": 1.0}
        self.features = ServiceProcess(
            "features", {**saving, "commit_interval_ms": 500, **group}, data_dir=folder / "features"
        )
        self.inference = ServiceProcess("inference", group | {"model": model}, data_dir=folder / "inference")
        self.services = {"ingest": self.ingest, "features": self.features, "inference": self.inference}

    @property
    def url(self) -> str:
        """The gateway."""
        return self.ingest.url

    def __enter__(self) -> Self:
        try:
            start_all(self.services.values())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(ServiceProcess.stop, self.services.values()))

    def watch(self, folder: Path, *, speed: float = float("inf"), shift_ms: int | None = None) -> Watch:
        """A watch with this recording, moved by ``shift_ms`` or to be recent; its person is the user."""
        recording = read_recording(folder)
        token = make_token(JWT_KEY, recording.person)
        if shift_ms is None:
            return make_watch(recording, token, time.time_ns() // 1_000_000, speed)
        return Watch(recording, token, shift_ms, list(uploads(recording, shift_ms=shift_ms)))

    def in_two_parts(self, parts: dict[str, tuple[Path, Path]]) -> TwoParts:
        """Watches with these recordings, by person."""
        early = [self.watch(first) for first, _ in parts.values()]
        late = [self.watch(parts[watch.name][1], shift_ms=watch.shift_ms) for watch in early]
        return TwoParts(parts, early, late)

    async def settle(self, timeout_s: float = 150) -> None:
        """Return once all that was sent so far is assembled, and all that this gave is classified."""
        watch = [spec.name for spec in topics.SAMPLE_TOPICS.values()]
        await self._catch_up("features", await self.end_offsets(*watch), timeout_s)
        await self._catch_up("inference", await self.end_offsets(topics.WINDOWS.name), timeout_s)

    async def settle_windows(self, wanted: Collection[WindowKey], timeout_s: float = 150) -> None:
        """Return once these windows have events, and all windows so far are classified.

        Unlike settle() it does not wait for the grace period of what never becomes a window.
        """

        async def all_there() -> bool:
            return set(wanted) <= {event.window for event in await self.events()}

        await until(all_there, "an event for every window", timeout_s, pause_s=0.5)
        await self._catch_up("inference", await self.end_offsets(topics.WINDOWS.name), timeout_s)

    async def _catch_up(self, group: str, ends: dict[TopicPartition, int], timeout_s: float) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        behind = dict(ends)

        async def all_committed() -> bool:
            committed = await admin.list_consumer_group_offsets(self.prefix + group, partitions=list(ends))
            behind.clear()
            behind.update({tp: end for tp, end in ends.items() if end > max(committed[tp].offset, 0)})
            return not behind

        try:
            await until(all_committed, f"{group} to commit", timeout_s, pause_s=0.2)
        except TimeoutError as error:
            error.add_note(f"still behind: {behind}")
            raise
        finally:
            await admin.close()

    async def end_offsets(self, *names: str) -> dict[TopicPartition, int]:
        """Where the topics end for a read_committed consumer."""
        async with self._consumer(*names) as consumer:
            return dict(await consumer.end_offsets(consumer.assignment()))

    async def records(self, *names: str) -> list[Any]:
        """Everything that is committed in these topics, by partition and offset."""
        found: list[Any] = []
        async with self._consumer(*names) as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
        return sorted(found, key=lambda r: (r.topic, r.partition, r.offset))

    async def events(self) -> list[Event]:
        """All committed events."""
        return [
            Event(
                {name: value.decode() for name, value in record.headers},
                record.key.decode(),
                json.loads(record.value),
                record.partition,
                record.offset,
            )
            for record in await self.records(topics.EVENTS.name)
        ]

    @asynccontextmanager
    async def _consumer(self, *names: str) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(self.prefix + name, p) for name in names for p in range(PARTITIONS)])
            yield consumer
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def tail(self) -> AsyncIterator[list[WindowKey]]:
        """A list of windows that grows with the events, while they come."""
        seen: list[WindowKey] = []
        async with EventReader(self.kafka, topic_prefix=self.prefix, from_start=True) as reader:

            async def read() -> None:
                while True:
                    seen.extend((event.data["user"], event.data["window_start_ms"]) for event in await reader.poll())

            reading = asyncio.create_task(read())
            try:
                yield seen
            finally:
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading

    async def metric(self, service: str, name: str) -> float:
        """Sum over the labels of one of the service's counters."""
        async with httpx.AsyncClient(trust_env=False, timeout=HTTP_S) as client:
            page = (await client.get(f"{self.services[service].url}/metrics")).text
        samples = [line.rsplit(" ", 1) for line in page.splitlines() if line.partition("{")[0].split(" ")[0] == name]
        return sum(float(value) for _, value in samples)

    async def readiness(self, service: str) -> tuple[int, dict[str, str]]:
        """Status and reasons of /readyz."""
        async with httpx.AsyncClient(trust_env=False, timeout=HTTP_S) as client:
            answer = await client.get(f"{self.services[service].url}/readyz")
        return answer.status_code, answer.json()["waiting"]


def start_all(servers: Collection[ServerProcess]) -> None:
    """Start servers side by side."""
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(ServerProcess.start, servers))


async def terminate(server: ServerProcess) -> int:
    """SIGTERM; the exit code (negative: the signal that ended it), TimeoutError when it does not end. Its data stay."""
    pid = server.pid
    os.kill(pid, signal.SIGTERM)

    def ended() -> Any:
        # Left for its owner to reap.
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)

    await until(ended, f"{server.name} to end", STOP_S)
    result = ended()
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 120, *, pause_s: float = 0.05) -> None:
    """Wait for a condition, plain or awaitable; TimeoutError says what did not happen."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        value = condition()
        if await value if asyncio.iscoroutine(value) else value:
            return
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        await asyncio.sleep(pause_s)


def expected(folders: dict[str, Path], watches: Iterable[Watch]) -> set[WindowKey]:
    """The windows of the contract, by code that shares nothing with the services."""
    return {
        (watch.name, start)
        for watch in watches
        for start in expected_windows(folders[watch.name], user=watch.name, shift_ms=watch.shift_ms)
    }


def offline(watches: Iterable[Watch]) -> dict[WindowKey, OfflineWindow]:
    """The windows of the offline path."""
    return {
        (watch.name, window.raw.window_start_ms + watch.shift_ms): window
        for watch in watches
        for window in offline_windows([watch.recording], user=watch.name)
    }


def assert_once_each(events: Collection[Event], wanted: Collection[WindowKey]) -> None:
    """One event per window, with an id of its own; none that nobody expects."""
    counts = Counter(event.window for event in events)
    assert {
        "missing": sorted(wanted - counts.keys()),
        "unexpected": sorted(counts.keys() - wanted),
        "twice": sorted(window for window, count in counts.items() if count > 1),
    } == {"missing": [], "unexpected": [], "twice": []}
    assert len({event.headers["ce_id"] for event in events}) == len(events)


def assert_same_baselines(events: Iterable[Event], windows: dict[WindowKey, OfflineWindow]) -> None:
    """The baseline in each event is that of the offline path."""
    found = {event.window: event.data["baseline"] for event in events}
    assert found == {window: as_json(windows[window]) for window in found}


def as_json(window: OfflineWindow) -> dict[str, Any]:
    """The baseline of an offline window, in the words of an event."""
    accelerometer, heart_rate = window.record.baseline.accelerometer, window.record.baseline.heart_rate
    return {
        "accelerometer": {"state": accelerometer.state, "mg": list(accelerometer.mg)},
        "heart_rate": {"state": heart_rate.state, "bpm": heart_rate.bpm},
    }
