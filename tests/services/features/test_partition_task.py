import msgspec
import pytest

from services.features.partition_task import PartitionTask
from services.features.stored_user import StoredUser
from shared.contracts.samples import TICK, SampleRecord
from shared.contracts.time_limits import SAMPLES_FUTURE_MS, SAMPLES_PAST_MS
from shared.windows.assembler import AssemblyResult
from tests.services.features.kafka_log import as_kafka, kafka_record
from tests.shared.windows.signals import BASE_MS, GRACE_MS, HOP_MS, delivered, wearer

PERSON = wearer(1)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def partition(start=(None, None, None)) -> PartitionTask:
    return PartitionTask(0, HOP_MS, GRACE_MS, start, phase_per_user=False)


def samples(**changes) -> bytes:
    """The accelerometer of an upload, with other fields on the wire."""
    return msgspec.msgpack.encode(msgspec.msgpack.decode(PERSON.upload(0, 5_000, 0)[0].encode()) | changes)


def take(part: PartitionTask, *records) -> AssemblyResult:
    for record in records:
        assert part.deliver(part_topic(record), [record]) == []
    whole = AssemblyResult()
    for released in part.release():
        whole.extend(part.fold(released))
    return whole


def part_topic(record) -> int:
    return ["watch.accelerometer", "watch.heart_rate", "watch.steps"].index(record.topic)


def ticks(log_ms: int, *offsets: int):
    return [kafka_record(topic, offset, BASE_MS + log_ms) for topic, offset in enumerate(offsets)]


NESTED = b"\x81\xa1z" + b"\x91" * 100_000

POISON = {
    "not MessagePack": (b"u", b"\xc1", "malformed"),
    "text that is not UTF-8": (b"u", samples().replace(b"\xa5watch", b"\xa5w\xfftch"), "utf-8"),
    "nesting": (b"u", NESTED, "recursion"),
    "another version": (b"u", samples(v=9), "version 9"),
    "no key": (None, samples(), "key"),
    "an empty key": (b"", samples(), "key"),
    "a key that is not UTF-8": (b"\xff", samples(), "UTF-8"),
    "a key of a megabyte": (b"u" * 2**20, samples(), "key has 1048576 bytes"),
    "a device of a megabyte": (b"u", samples(device="d" * 2**20), "device"),
    "no device": (b"u", samples(device=""), "device"),
    "data of another length": (b"u", samples(n=7), "n=7"),
    "a rate that is no number": (b"u", samples(rate_hz=float("nan")), "rate_hz"),
    "from the future": (b"u", samples(t0_ms=BASE_MS + SAMPLES_FUTURE_MS + 17_000), "log time"),
    "from 1970": (b"u", samples(t0_ms=0), "log time"),
    "from the end of time": (b"u", samples(t0_ms=2**63 - 1), "log time"),
    "from before time": (b"u", samples(t0_ms=-(2**63)), "log time"),
}


@pytest.mark.parametrize(("key", "value", "reason"), POISON.values(), ids=POISON)
def test_what_cannot_be_read_is_rejected_and_keeps_its_place(key, value, reason):
    part = partition()
    good = as_kafka(delivered([PERSON.upload(0, 20_000, 0)], [20_000], [(0, 0, 0)])[0])
    poison = kafka_record(0, 1, BASE_MS + 21_000, value, key)
    rejected = part.deliver(0, [good, poison, kafka_record(0, 2, BASE_MS + 22_000)])
    assert [item.record for item in rejected] == [poison]
    assert reason in rejected[0].reason
    for topic in (1, 2):
        assert part.deliver(topic, [kafka_record(topic, 0, BASE_MS + 22_000)]) == []
    released = part.release()
    assert [(r.topic, r.offset, r.samples is None) for r in released] == [
        (0, 0, False),
        (0, 1, True),
        (0, 2, True),
    ]
    for record in released:
        part.fold(record)
    # The good upload announces two modalities that never came: it still holds, the poison does not.
    assert part.committable() == [(0, BASE_MS + 20_000), None, None]


def test_the_times_that_ingest_accepts_are_accepted():
    part = partition()
    times = [BASE_MS - SAMPLES_PAST_MS, BASE_MS + SAMPLES_FUTURE_MS - 5_000]
    records = [kafka_record(0, i, BASE_MS, samples(t0_ms=t0_ms), b"u") for i, t0_ms in enumerate(times)]
    assert part.deliver(0, records) == []


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ([("traceparent", TRACE.encode())], TRACE),
        ([("other", b"x"), ("traceparent", TRACE.encode())], TRACE),
        ([], None),
        ([("traceparent", None)], None),
        ([("traceparent", b"\xff")], None),
        ([("traceparent", b"0" * 2**20)], None),
    ],
)
def test_the_trace_context_never_harms(headers, trace):
    part = partition()
    assert part.deliver(0, [kafka_record(0, 0, BASE_MS, samples(), b"u", headers)]) == []
    part.deliver(1, ticks(1, 0, 0, 0)[1:2])
    part.deliver(2, ticks(1, 0, 0, 0)[2:3])
    assert part.release()[0].traceparent == trace


def test_a_tombstone_is_a_tick():
    assert partition().deliver(0, [kafka_record(0, 0, BASE_MS, None, b"u"), kafka_record(0, 1, BASE_MS, TICK)]) == []


def upload_records(part: SampleRecord, topic: int, offset: int, log_ms: int):
    return kafka_record(topic, offset, BASE_MS + log_ms, part.encode(), b"u")


def test_positions_are_held_for_open_windows_and_move_on_when_they_close():
    part = partition(start=[(100, BASE_MS - 9), None, (300, BASE_MS - 7)])
    assert part.committable() == [(100, BASE_MS - 9), None, (300, BASE_MS - 7)]
    upload = PERSON.upload(0, 12_000, 0)
    take(part, *ticks(1_000, 100, 0, 300))
    # At one millisecond the topics go one after the other: the next ones wait for the first to be past it.
    assert part.committable() == [(101, BASE_MS + 1_000), None, (300, BASE_MS - 7)]
    take(part, *(upload_records(r, topic, (101, 1, 301)[topic], 12_000) for topic, r in enumerate(upload)))
    closed = take(part, *ticks(13_000, 102, 2, 302), *ticks(14_000, 103, 3, 303))
    assert closed.final == []
    assert part.committable() == [(101, BASE_MS + 12_000), (1, BASE_MS + 12_000), (301, BASE_MS + 12_000)]
    closed = take(part, *ticks(12_000 + GRACE_MS, 104, 4, 304), *ticks(99_000, 105, 5, 305))
    assert {start for _, _, start in closed.final} == {BASE_MS - HOP_MS, BASE_MS, BASE_MS + HOP_MS}
    # The windows are not in Redis yet: a restart must make them again.
    assert [position[0] for position in part.committable()] == [101, 1, 301]
    for name in part.users.unknown():
        part.users.adopt(name, StoredUser())
        part.users.mark_saved(part.users.to_write(name, whole=True), whole=True)
    assert [position[0] for position in part.committable()] == [106, 5, 305]


def test_what_waits_in_the_merge_is_not_committable():
    part = partition()
    part.deliver(0, [kafka_record(0, offset, BASE_MS + offset) for offset in range(50)])
    assert part.release() == []
    assert part.waiting(0) == 50
    assert part.committable() == [None, None, None]


def test_after_a_restart_the_brokers_clock_does_not_step_back():
    part = partition(start=[(7, BASE_MS + 50), (3, BASE_MS + 40), (9, BASE_MS + 60)])
    take(part, *ticks(10, 7, 3, 9))
    assert part.committable() == [(7, BASE_MS + 50), (4, BASE_MS + 40), (9, BASE_MS + 60)]
    take(part, kafka_record(1, 4, BASE_MS + 45))
    assert part.committable()[1] == (5, BASE_MS + 45)


@pytest.mark.parametrize(("rate_hz", "n", "is_taken"), [(0.1, 360, True), (0.1, 361, False), (0.4, 60_000, False)])
def test_a_record_that_spans_more_than_an_upload_may_is_rejected(rate_hz: float, n: int, is_taken: bool):
    wire = msgspec.msgpack.decode(PERSON.upload(0, 5_000, 0)[1].encode())
    value = msgspec.msgpack.encode(wire | {"rate_hz": rate_hz, "n": n, "data": bytes(n)})
    rejected = partition().deliver(1, [kafka_record(1, 0, BASE_MS + 5_000, value, b"u")])
    assert [item.fault for item in rejected] == ([] if is_taken else ["span"])
