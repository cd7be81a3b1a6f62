"""Kafka records: whatever lies in a topic is read or rejected, and a rejected one keeps its place."""

from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.features.partition_task import PartitionTask
from services.inference.cloud_events import ModelName, activity_event, to_message
from services.inference.ledger import Ledger
from shared.contracts.decoding import traceparent_of, user_of
from shared.contracts.errors import InvalidRecord
from shared.contracts.gap import decode_gap
from shared.contracts.ledger import decode_ledger, encode_ledger, place_of
from shared.contracts.modality import MODALITIES
from shared.contracts.samples import decode_samples
from shared.contracts.window import decode_window
from shared.signal.baseline import UserBaseline
from shared.signal.wear import DeviceHistory
from shared.windows.featurise import MemoryBaselines, featurise
from tests.fuzz.mutations import JSON_ODD, NESTED_JSON, NESTED_MSGPACK, hostile, mutated, spoilt
from tests.services.features.kafka_log import kafka_record
from tests.services.inference.windows import window
from tests.shared.contracts.test_records import gap_v1
from tests.shared.windows.signals import BASE_MS, GRACE_MS, HOP_MS, wearer

PERSON = wearer(1)
UPLOADS = [PERSON.upload(begin, begin + 10_000, begin // 10_000) for begin in range(0, 60_000, 10_000)]
SAMPLES = [record.encode() for record in UPLOADS[0]]
WINDOW = window(0).encode()
GAP = gap_v1().encode()
LEDGER_KEY, LEDGER_BITS = encode_ledger(place_of("u1", "watch", "m@1", HOP_MS, BASE_MS)[0], 0b1011)
unpack, pack = msgspec.msgpack.decode, msgspec.msgpack.encode


def values(*valid: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from(valid).flatmap(lambda value: hostile(value, unpack(value), pack))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MODALITIES), values(*SAMPLES))
@example(MODALITIES[0], NESTED_MSGPACK)
def test_samples_of_any_bytes_are_decoded_or_rejected(modality, value):
    try:
        record = decode_samples(modality, value)
    except InvalidRecord:
        return
    assert record.samples.shape == (modality.channels, record.n)
    assert record.end_ms > record.t0_ms


@settings(max_examples=300, deadline=None)
@given(values(WINDOW), st.binary(max_size=300) | st.text(max_size=20).map(str.encode))
@example(NESTED_MSGPACK, b"u1")
def test_windows_of_any_bytes_become_events_or_are_rejected(value, key):
    try:
        user, record = user_of(key), decode_window(value)
    except InvalidRecord:
        return
    ledger = Ledger("m@1")
    assert ledger.stage(user, record)
    assert not ledger.stage(user, record)
    for place, bits in ledger.staged.items():
        assert decode_ledger(*encode_ledger(place, bits)) == (place, bits)
    event = activity_event(user, record, {"walking": 1.0}, ModelName("m@1", "har7"), BASE_MS)
    _, data = to_message(event, None)
    assert msgspec.json.decode(data)["user"] == user


@settings(max_examples=200, deadline=None)
@given(
    st.none() | hostile(LEDGER_KEY, msgspec.json.decode(LEDGER_KEY), msgspec.json.encode, JSON_ODD[:-2]),
    st.none() | mutated(LEDGER_BITS) | st.binary(max_size=100),
)
@example(NESTED_JSON, b"")
@example(b'["\xff"]', b"\x01")
def test_ledger_of_any_bytes_is_decoded_or_rejected(key, value):
    try:
        place, bits = decode_ledger(key, value)
    except InvalidRecord:
        return
    ledger = Ledger("m@1")
    ledger.load(place, bits)
    ledger.committed()


@settings(max_examples=200, deadline=None)
@given(hostile(GAP, msgspec.json.decode(GAP), msgspec.json.encode, JSON_ODD[:-2]))
@example(NESTED_JSON)
@example(GAP.replace(b"u1", b"\xff"))
def test_gaps_of_any_bytes_are_decoded_or_rejected(value):
    try:
        gap = decode_gap(value)
    except InvalidRecord:
        return
    assert decode_gap(gap.encode()) == gap


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["traceparent", "", "x"]),
            st.none() | st.binary(max_size=200) | st.text(max_size=60).map(str.encode),
        ),
        max_size=4,
    )
)
def test_headers_of_any_bytes_are_read(headers):
    trace = traceparent_of(headers)
    assert trace is None or trace.isascii()


# The log of one partition


@st.composite
def polls(draw: st.DrawFn) -> list[tuple[int, list[Any]]]:
    """Deliveries of a wearer's log in which records are replaced, put in and stamped at will."""
    log: list[list[Any]] = [[], [], []]
    stamps = st.integers(BASE_MS, BASE_MS + 100_000) | st.sampled_from([-1, 0, 2**62, 2**63 - 1])
    keys = st.just(b"u1") | st.none() | st.binary(max_size=8) | st.just(b"k" * 10_000)
    headers = st.just(()) | st.just((("traceparent", None), ("", b"\xff"), ("traceparent", b"\x00" * 500)))
    for at, upload in enumerate(UPLOADS):
        for topic, record in enumerate(upload):
            stamp = BASE_MS + 10_000 * (at + 1) + topic
            value, key = record.encode(), b"u1"
            if draw(st.integers(0, 4)) == 0:
                value, key = draw(st.none() | hostile(value, unpack(value), pack)), draw(keys)
                if draw(st.booleans()):
                    stamp = draw(stamps)
            log[topic].append(kafka_record(topic, len(log[topic]), stamp, value, key, draw(headers)))
    for topic in range(3):
        log[topic].append(kafka_record(topic, len(log[topic]), BASE_MS + 300_000))
    return [(topic, log[topic]) for topic in draw(st.permutations(range(3)))]


@settings(max_examples=150, deadline=None)
@given(polls())
def test_a_partition_folds_whatever_is_delivered(delivered):
    partition = PartitionTask(0, HOP_MS, GRACE_MS, (None, None, None), phase_per_user=False)
    baselines = MemoryBaselines()
    rejected, released = [], []
    for topic, records in delivered:
        rejected += partition.deliver(topic, records)
        for record in partition.release():
            released.append((record.topic, record.offset))
            done = featurise(partition.fold(record).windows, baselines)
            for _, out in done.windows:
                assert decode_window(out.encode()).features
            for gap in done.gaps:
                decode_gap(gap.encode())
            partition.committable()
    for state in baselines.states():
        UserBaseline.from_bytes(state.baseline.to_bytes())
        for history in state.histories.values():
            assert DeviceHistory.from_bytes(history.to_bytes()) == history
    # Every record keeps its place: what has come out of a topic is a run of its offsets, rejected ones included.
    for topic in range(3):
        offsets = [offset for at, offset in released if at == topic]
        assert offsets == list(range(len(offsets)))
    assert all(item.reason for item in rejected)


@settings(max_examples=100, deadline=None)
@given(st.lists(spoilt(unpack(SAMPLES[1])).map(pack) | mutated(SAMPLES[1]), max_size=5))
def test_a_rejected_record_changes_nothing_for_the_others(poison):
    """The windows and gaps of a user are the same with and without another user's spoilt records before theirs."""

    def fold(extra: list[bytes]) -> list[tuple[int, bool]]:
        partition = PartitionTask(0, HOP_MS, GRACE_MS, (None, None, None), phase_per_user=False)
        closed = []
        for topic in range(3):
            own = [kafka_record(topic, 0, BASE_MS + 10_000, v, b"other") for v in extra] if topic == 1 else []
            own += [
                kafka_record(topic, 0, BASE_MS + 10_000 * (at + 1), upload[topic].encode(), b"u1")
                for at, upload in enumerate(UPLOADS)
            ]
            own.append(kafka_record(topic, 0, BASE_MS + 300_000))
            partition.deliver(topic, own)
        for record in partition.release():
            out = partition.fold(record)
            closed += [(raw.window_start_ms, True) for raw in out.windows if raw.user == "u1"]
            closed += [(gap.start_ms, False) for gap in out.gaps if gap.user == "u1"]
        return closed

    assert fold(poison) == fold([])
