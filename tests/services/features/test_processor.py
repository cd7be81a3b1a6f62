import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from services.features import processor as processor_module
from services.features.baseline_store import BaselineStore
from services.features.partition_task import PartitionTask, Rejected, WindowToPublish
from services.features.processor import Processor
from shared.contracts.errors import LostOwnership, RetryLater, Stop
from shared.contracts.gap import Gap
from shared.contracts.modality import HEART_RATE, MODALITY_NAMES
from shared.contracts.samples import SampleRecord
from shared.contracts.window import ACCELEROMETER_STATES, decode_window
from shared.kafka.dead_letters import DeadLetterLimit
from shared.kafka.health import ConsumerHealth
from shared.windows.assembler import PART_WINDOWS
from shared.windows.featurise import MemoryBaselines, featurise, featurise_all
from shared.windows.merge import LogRecord
from tests.e2e.harness import until
from tests.services.features.kafka_log import TOPIC_NAMES, as_kafka, kafka_record, poll_of
from tests.shared.windows.signals import BASE_MS, GRACE_MS, HOP_MS, delivered, fold, wearer, with_ticks

SAVE_AFTER_MS = 25_000


class Died(Exception):
    """The worker's process has ended here."""


@dataclass
class MemoryOutput:
    """The bus: keeps what it is given, fails when it is told to."""

    windows: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)
    gaps: set[Gap] = field(default_factory=set)
    rejected: list[Rejected] = field(default_factory=list)
    refuse: int = 0
    die_before: bool = False
    die_after: bool = False

    async def publish(
        self, windows: Sequence[WindowToPublish], gaps: Sequence[tuple[int, Gap]], rejected: Sequence[Rejected]
    ) -> None:
        if self.refuse:
            self.refuse -= 1
            raise RetryLater("Kafka: away")
        if self.die_before:
            raise Died
        for ready in windows:
            key = (ready.raw.user, ready.raw.window_start_ms)
            self.windows.setdefault(key, []).append(ready.record.encode())
        self.gaps |= {gap for _, gap in gaps}
        self.rejected += rejected
        if self.die_after:
            raise Died


class Worker:
    """A processor that owns partition 0, from committed positions on."""

    def __init__(
        self,
        store: BaselineStore,
        output: MemoryOutput,
        committed=None,
        *,
        max_unsaved_baselines=1_000,
        share=None,
        save_after_ms=SAVE_AFTER_MS,
    ) -> None:
        self.health = ConsumerHealth()
        share = share or DeadLetterLimit(1.0, 1)
        self.now_ms = BASE_MS
        self.processor = Processor(store, output, self.health, TOPIC_NAMES, max_unsaved_baselines, share, self.clock)
        self.committed = committed or {}
        start = [self.position(topic) for topic in range(3)]
        task = PartitionTask(0, HOP_MS, GRACE_MS, start, phase_per_user=False, save_after_ms=save_after_ms)
        self.processor.assign({0: task})

    def clock(self) -> int:
        return self.now_ms

    @property
    def users_in_memory(self) -> int:
        return sum(len(partition.users) for partition in self.processor.partitions.values())

    def position(self, topic: int):
        commit = self.committed.get(TopicPartition(TOPIC_NAMES[topic], 0))
        return None if commit is None else (commit.offset, int(commit.metadata))

    async def process(self, records) -> None:
        await self.processor.process(poll_of(records))

    def commit(self) -> None:
        self.committed = self.committed | self.processor.committable()


def log_of(people: int = 2, *, seconds: int = 90) -> list[LogRecord]:
    """Uploads of 5 s of several people, one lost, one late and one twice, with ticks until everything has closed."""
    sent = []
    for person in range(people):
        for seq, begin in enumerate(range(0, seconds * 1000, 5_000)):
            upload = wearer(person, seconds=seconds).upload(begin, begin + 5_000, seq)
            late_ms = 25_000 if seq == 3 and person == 0 else 0
            if not (seq == 6 and person == 1):
                sent.append((begin + 5_000 + late_ms, f"u{person}", upload))
            if seq == 4:
                sent.append((begin + 9_000, f"u{person}", upload))
    sent.sort(key=lambda item: item[0])
    arrivals_ms, users, uploads = zip(*sent, strict=True)
    log = delivered(uploads, arrivals_ms, [(0, 300, 900)] * len(uploads), users=users)
    last = max(record.offset for record in log) + 1
    end = [LogRecord(log[-1].log_ms + ms, topic, last) for ms in (2 * GRACE_MS, 2 * GRACE_MS + 1) for topic in range(3)]
    return with_ticks(sorted([*log, *end], key=lambda r: (r.log_ms, r.topic, r.offset)), 5_000)


LOG = log_of()
RECORDS = [as_kafka(record) for record in LOG]


def offline() -> tuple[dict[tuple[str, int], bytes], set[Gap], MemoryBaselines]:
    closed, baselines = fold(LOG), MemoryBaselines()
    done = featurise(closed.windows, baselines)
    windows = {(raw.user, raw.window_start_ms): record.encode() for raw, record in done.windows}
    return windows, {*closed.gaps, *done.gaps}, baselines


OFFLINE_WINDOWS, OFFLINE_GAPS, OFFLINE_BASELINES = offline()


def polls(records=RECORDS, *, of: int = 17, after=None):
    """By topic in offset order, as fetches interleave: the log cut anywhere."""
    wanted = [r for r in records if after is None or r.offset >= after[r.topic]]
    return [wanted[start : start + of] for start in range(0, len(wanted), of)]


async def same_in_redis(store: BaselineStore) -> bool:
    stored = await store.load(["u0", "u1"])
    return all(
        stored[user].baseline.to_bytes() == OFFLINE_BASELINES.state(user).baseline.to_bytes() for user in ("u0", "u1")
    )


async def test_the_live_path_is_the_offline_path(store):
    output = MemoryOutput()
    worker = Worker(store, output)
    for poll in polls():
        await worker.process(poll)
    assert {key: [value] for key, value in OFFLINE_WINDOWS.items()} == output.windows
    assert output.gaps == OFFLINE_GAPS
    assert await same_in_redis(store)
    assert len(OFFLINE_WINDOWS) >= 10
    assert OFFLINE_GAPS


async def run_with_a_death(
    url: str, polls_of: int, dies_at: int, place: str, commits: list[bool], save_after_ms: int
) -> None:
    store = BaselineStore(url, f"t{secrets.token_hex(4)}:")
    output = MemoryOutput()
    worker = Worker(store, output, save_after_ms=save_after_ms)
    try:
        for number, poll in enumerate(polls(of=polls_of)):
            dying = number == dies_at
            output.die_before, output.die_after = (dying and place == "publish"), (dying and place == "fold")
            try:
                await worker.process(poll)
                if dying and place == "commit":
                    raise Died
            except Died:
                break
            if commits[number % len(commits)]:
                worker.commit()
        output.die_before = output.die_after = False
        dead = {key: list(values) for key, values in output.windows.items()}
        committed = {TOPIC_NAMES[topic]: (worker.position(topic) or (0, 0))[0] for topic in range(3)}
        worker = Worker(store, output, worker.committed, save_after_ms=save_after_ms)
        for poll in polls(of=13, after=committed):
            await worker.process(poll)
        assert output.windows.keys() == OFFLINE_WINDOWS.keys()
        for key, values in output.windows.items():
            assert set(values) == {OFFLINE_WINDOWS[key]}
            assert len(values) <= 2
            if place == "commit" and not save_after_ms and key in dead:
                assert values == dead[key]
        assert output.gaps == OFFLINE_GAPS
        assert await same_in_redis(store)
    finally:
        await store.delete_all()
        await store.close()


@settings(max_examples=12, deadline=None)
@given(
    st.integers(3, 40),
    st.integers(0, 30),
    st.sampled_from(["publish", "fold", "commit"]),
    st.lists(st.booleans(), min_size=1, max_size=5),
    st.sampled_from([0, SAVE_AFTER_MS]),
)
def test_a_death_anywhere_changes_nothing(redis_url, polls_of, dies_at, place, commits, save_after_ms):
    asyncio.run(run_with_a_death(redis_url, polls_of, dies_at, place, commits, save_after_ms))


async def test_a_user_is_written_after_some_windows_and_holds_the_commit_until_then(store, monkeypatch):
    writes = []

    async def write(some, **options):
        writes.extend(each.user for each in some)
        return await BaselineStore.write(store, some, **options)

    monkeypatch.setattr(store, "write", write)
    worker = Worker(store, MemoryOutput())
    closed_at_ms, held = [], []
    for poll in polls(of=6):
        before = len(worker.processor._output.windows)
        await worker.process(poll)
        log_ms = worker.processor.partitions[0].log_ms
        closed_at_ms += [log_ms] * (len(worker.processor._output.windows) - before)
        if closed_at_ms and log_ms < closed_at_ms[0] + SAVE_AFTER_MS:
            assert not writes
            held.append(worker.processor.committable()[TopicPartition(TOPIC_NAMES[0], 0)].offset)
    # The first window of either user begins with its first upload.
    assert len(set(held)) == 1
    assert len(held) > 3
    assert 2 <= len(writes) <= len(OFFLINE_WINDOWS) // 2
    assert await same_in_redis(store)


async def test_at_the_end_of_an_assignment_all_is_written(store):
    worker = Worker(store, MemoryOutput())
    await worker.process(RECORDS)
    before = worker.processor.committable()
    await worker.processor.save_all()
    after = worker.processor.committable()
    assert all(after[tp].offset > before[tp].offset for tp in before)
    assert all(after[TopicPartition(r.topic, 0)].offset > r.offset for r in RECORDS if r.value)
    assert await same_in_redis(store)


async def test_a_bus_that_refuses_gets_the_same_windows_again(store, monkeypatch):
    monkeypatch.setattr(processor_module, "RETRY_S", 0.001)
    output = MemoryOutput()
    worker = Worker(store, output)
    for poll in polls(of=100):
        output.refuse = 2
        await worker.process(poll)
    assert output.windows.keys() == OFFLINE_WINDOWS.keys()
    assert await same_in_redis(store)
    assert "kafka" not in worker.health.not_ready


def value_of(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_what_has_been_published_is_measured(store):
    windows = {"closed_by": "complete", "modalities": "accelerometer+heart_rate+steps"}
    names = {
        "windows": ("gaitway_features_windows_total", windows),
        "coverage": ("gaitway_features_window_coverage_ratio_count", {"modality": "accelerometer"}),
        "latency": ("gaitway_event_latency_seconds_count", {"stage": "gateway_to_window"}),
        "latency_s": ("gaitway_event_latency_seconds_sum", {"stage": "gateway_to_window"}),
        "records": ("gaitway_features_records_total", {"modality": "steps"}),
    }
    repeated, late, gap_s = (
        {modality: value_of(f"gaitway_features_{name}_total", modality=modality, **more) for modality in MODALITY_NAMES}
        for name, more in (
            ("duplicate_samples", {}),
            ("late_samples", {}),
            ("gap_seconds", {"reason": "coverage"}),
        )
    )
    before = {key: value_of(name, **labels) for key, (name, labels) in names.items()}
    output = MemoryOutput()
    worker = Worker(store, output)
    worker.now_ms = BASE_MS + 2_500
    for poll in polls():
        await worker.process(poll)
    worker.processor.report()
    rise = {key: value_of(name, **labels) - before[key] for key, (name, labels) in names.items()}
    closed = fold(LOG)
    published = [decode_window(value) for values in output.windows.values() for value in values]
    assert rise["coverage"] == rise["latency"] == len(published)
    assert rise["windows"] == sum(
        raw.closed_by == "complete" and all(output_mask.values())
        for raw, output_mask in zip(closed.windows, (w.mask for w in published), strict=True)
    )
    assert rise["windows"] > 0
    # The wearer's uploads are received at BASE_MS.
    assert rise["latency_s"] == pytest.approx(2.5 * len(published))
    assert rise["records"] == sum(r.samples is not None and r.topic == 2 for r in LOG)
    for modality in MODALITY_NAMES:
        now = value_of("gaitway_features_duplicate_samples_total", modality=modality)
        assert now - repeated[modality] == closed.repeated_samples.get(modality, 0)
        now = value_of("gaitway_features_late_samples_total", modality=modality)
        assert now - late[modality] == closed.late_samples.get(modality, 0)
        now = value_of("gaitway_features_gap_seconds_total", modality=modality, reason="coverage")
        assert now - gap_s[modality] == closed.gap_ms.get((modality, "coverage"), 0) / 1000
    assert closed.repeated_samples
    states = {
        s: value_of("gaitway_features_baselines", modality="accelerometer", state=s) for s in ACCELEROMETER_STATES
    }
    assert states == {"unavailable": 0, "cold": 2, "stable": 0}


async def test_baselines_of_users_whom_redis_could_not_tell_are_unavailable(valkey, own_store):
    worker = Worker(own_store, MemoryOutput())
    valkey.stop()
    for poll in polls():
        await worker.process(poll)
    worker.processor.report()
    assert value_of("gaitway_features_baselines", modality="heart_rate", state="unavailable") == 2
    assert value_of("gaitway_dependency_up", dependency="redis") == 0


async def test_a_hanging_broker_makes_the_service_unready(store, monkeypatch):
    monkeypatch.setattr(processor_module, "SLOW_S", 0.01)

    class Hanging(MemoryOutput):
        async def publish(self, windows, gaps, rejected):
            await released.wait()

    released = asyncio.Event()
    worker = Worker(store, Hanging())
    work = asyncio.create_task(worker.process(RECORDS))
    async with asyncio.timeout(30):
        while "kafka" not in worker.health.not_ready:
            await asyncio.sleep(0.01)
    assert not work.done()
    released.set()
    await work
    assert "kafka" not in worker.health.not_ready


async def test_nothing_is_committable_until_it_is_in_redis(valkey, own_store, monkeypatch):
    monkeypatch.setattr(processor_module, "RETRY_S", 0.01)
    worker = Worker(own_store, MemoryOutput())
    first, second, third, *_ = polls(of=60)
    await worker.process(first)
    before = worker.processor.committable()
    assert before
    valkey.kill()
    await worker.process(second)
    assert worker.processor.committable() == {}
    assert "redis" in worker.health.not_ready
    valkey.start()
    await worker.process(third)
    assert worker.processor.committable().keys() >= before.keys()
    assert "redis" not in worker.health.not_ready


async def test_beyond_the_bound_consuming_waits_for_redis(valkey, own_store, monkeypatch):
    monkeypatch.setattr(processor_module, "RETRY_S", 0.01)
    output = MemoryOutput()
    worker = Worker(own_store, output, max_unsaved_baselines=1, save_after_ms=0)
    assert worker.health.alive
    valkey.kill()
    work = asyncio.create_task(worker.process(RECORDS))
    done, _ = await asyncio.wait({work}, timeout=0.5)
    assert not done
    assert len(output.windows) == len(OFFLINE_WINDOWS)
    # However long that takes, it is no reason to restart this worker.
    later_s = worker.health.monotonic() + 1_000
    worker.health.monotonic = lambda: later_s
    await until(lambda: worker.health.alive, "progress while it waits", 10)
    valkey.start()
    await asyncio.wait_for(work, 30)
    assert worker.processor.committable()
    assert await same_in_redis(own_store)


async def test_a_worker_that_was_paused_finds_out_and_changes_nothing(store):
    output = MemoryOutput()
    paused, successor = Worker(store, output), Worker(store, output)
    await paused.process(RECORDS[:40])
    for poll in polls(of=100):
        await successor.process(poll)
    with pytest.raises(LostOwnership):
        await paused.process(RECORDS[40:])
    assert paused.processor.committable() == {}
    assert all(len(set(values)) == 1 for values in output.windows.values())
    assert await same_in_redis(store)


async def test_a_poison_record_is_published_as_rejected_and_its_position_goes_on(store):
    output = MemoryOutput()
    worker = Worker(store, output)
    poison = kafka_record(0, 0, BASE_MS, b"\xc1", b"u")
    later = [kafka_record(topic, 1, BASE_MS + ms) for topic, ms in ((0, 2), (1, 3), (2, 3))]
    await worker.process([poison, *later])
    assert [(item.record, item.fault) for item in output.rejected] == [(poison, "unreadable")]
    assert worker.processor.committable()[TopicPartition(TOPIC_NAMES[0], 0)].offset == 2


async def test_users_who_are_silent_leave_memory_and_come_back(store):
    output = MemoryOutput()
    worker = Worker(store, output, save_after_ms=0)
    for poll in polls(of=40):
        await worker.process(poll)
        worker.processor.forget_idle(10_000)
        worker.processor.report()
    assert {key: [value] for key, value in OFFLINE_WINDOWS.items()} == output.windows
    assert worker.users_in_memory == 0
    assert await same_in_redis(store)


async def test_a_new_assignment_starts_with_nothing_in_memory(store):
    worker = Worker(store, MemoryOutput())
    await worker.process(RECORDS[:60])
    assert worker.users_in_memory == 2
    worker.processor.assign({})
    assert worker.users_in_memory == 0
    assert worker.processor.committable() == {}
    await worker.process([])


async def test_a_burst_of_windows_lets_other_tasks_run(store, monkeypatch):
    loop, seen = Loop(), []

    def featurise_seen(groups):
        seen.append(loop.turns)
        return featurise_all(groups)

    monkeypatch.setattr(processor_module, "FEATURISE_WINDOWS", 2)
    monkeypatch.setattr(processor_module, "featurise_all", featurise_seen)
    output = MemoryOutput()
    worker = Worker(store, output)
    turning = asyncio.create_task(loop.run())
    await worker.process(RECORDS)
    turning.cancel()
    assert {key: [value] for key, value in OFFLINE_WINDOWS.items()} == output.windows
    assert len(seen) >= len(OFFLINE_WINDOWS) // 2
    assert len(set(seen)) == len(seen)


async def test_too_much_rejected_stops_with_the_dead_letters_out_and_the_commit_behind_them(store):
    output = MemoryOutput()
    worker = Worker(store, output, share=DeadLetterLimit(0.5, min_records=10))
    ticks = [kafka_record(topic, offset, BASE_MS + offset) for offset in range(100) for topic in range(3)]
    await worker.process(ticks)  # would be a hundred good ones
    poison = [kafka_record(0, 100 + i, BASE_MS + 200, b"\xc1", b"u") for i in range(10)]
    await worker.process(poison[:9])
    with pytest.raises(Stop, match="100% of the last 10 records were rejected"):
        await worker.process([poison[9], *(kafka_record(topic, 110, BASE_MS + 300) for topic in range(3))])
    assert [item.record.offset for item in output.rejected] == list(range(100, 110))
    worker.commit()
    assert worker.position(0)[0] >= 110


class Loop:
    """Counts the turns that the event loop's other tasks get."""

    def __init__(self) -> None:
        self.turns = 0

    async def run(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)


def day_of_nulls(offset: int) -> LogRecord:
    samples = SampleRecord(
        modality=HEART_RATE,
        device="watch",
        session="s",
        seq=offset,
        t0_ms=BASE_MS - 86_400_000,
        rate_hz=1.0,
        received_at_ms=BASE_MS,
        sent_at_ms=BASE_MS,
        modalities=("heart_rate",),
        samples=np.zeros((1, 86_400), dtype="u1"),
    )
    return LogRecord(BASE_MS, 1, offset, f"u{offset}", samples)


async def test_a_day_in_one_record_is_done_piece_by_piece(store, monkeypatch):
    """Others get their turn, what has closed is published on the way, and what is done so far can be committed."""
    sizes, checkpoints = [], []

    class Measured(MemoryOutput):
        async def publish(self, windows, gaps, rejected):
            sizes.append(len(windows) + len(gaps))
            await super().publish(windows, gaps, rejected)

    worker = Worker(store, Measured())
    batch = [as_kafka(day_of_nulls(offset)) for offset in range(2)]
    ticks = [kafka_record(topic, len(batch) if topic == 1 else 0, BASE_MS + 1) for topic in range(3)]

    async def checkpoint() -> None:
        checkpoints.append(worker.processor.committable().get(TopicPartition(TOPIC_NAMES[1], 0)))

    loop = Loop()
    turning = asyncio.create_task(loop.run())
    await worker.processor.process(poll_of([*batch, *ticks]), checkpoint)
    turning.cancel()
    assert loop.turns > 2 * 86_400 // 10 // PART_WINDOWS
    # Each window lacks an accelerometer and a heart rate.
    assert max(sizes) < 2 * (processor_module.STEP_WINDOWS + PART_WINDOWS)
    assert sum(sizes) == 2 * 2 * (86_400 // 10 + 1)
    assert [commit.offset for commit in checkpoints] == [1, 2]
