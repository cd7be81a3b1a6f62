"""What Redis gives back: a user's key of any type and content is a user or a cold start, and stops nobody's writes."""

import asyncio
import secrets
import struct
from dataclasses import replace

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from services.features.baseline_store import WRITTEN, BaselineStore
from services.features.stored_user import UserWrite, decode_user
from shared.contracts.errors import InvalidRecord
from shared.contracts.window import HEART_RATE_STATES
from shared.signal.baseline import Hop, UserBaseline
from shared.signal.wear import DeviceHistory
from tests.fuzz.mutations import mutated
from tests.shared.signal.single_user import SingleUser
from tests.shared.windows.signals import BASE_MS

HOP = Hop(
    BASE_MS,
    10_000,
    np.tile(np.array([[12.0], [-33.0], [980.0]]), (1, 250)),
    np.ones(250, dtype=bool),
    np.full(10, 61.0),
    np.ones(10, dtype=bool),
    np.ones(10, dtype=bool),
)


def valid() -> bytes:
    single = SingleUser()
    single.update(HOP)
    return single.baseline.to_bytes()


VALID = valid()
OLDER = [bytes([version]) + bytes(header - 1) + VALID[4:] for version, header in ((1, 16), (2, 40))]
HISTORY = DeviceHistory(HOP.hop_ms, 7, 0b1011, 0b11, 0b1, 0b1011, 0b11, 72).to_bytes()


@st.composite
def counts(draw: st.DrawFn) -> bytes:
    """The right length, with numbers of any size at some places."""
    data = bytearray(draw(st.sampled_from([VALID, *OLDER])))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(1, 60) | st.integers(1, len(data) - 8))
        data[at : at + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"]))
    return bytes(data)


def put(data: bytes, at: int, text: str, *numbers: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(text, changed, at, *numbers)
    return bytes(changed)


BASELINES = st.binary(max_size=200) | mutated(VALID) | mutated(OLDER[0]) | mutated(OLDER[1]) | counts()
WINDOW_MG = np.full((3, 500), 100.0)


@settings(max_examples=300, deadline=None)
@given(BASELINES)
@example(b"")
@example(put(VALID, 4, "<512I", *range(512)))
@example(put(VALID, 4 + 512 * 4, "<512I", *[0] * 512))
@example(VALID[:4] + b"\xff" * (len(VALID) - 4))
def test_a_baseline_that_is_read_can_be_used_and_written(data):
    try:
        baseline = UserBaseline.from_bytes(data)
    except InvalidRecord:
        return
    for _ in range(2):
        numbers = baseline.get(WINDOW_MG)
        assert all(-4_096 <= mg <= 4_096 for mg in numbers.accelerometer.mg)
        assert numbers.heart_rate.state in HEART_RATE_STATES
        assert 0 <= numbers.heart_rate.bpm <= 255
        SingleUser(baseline).update(HOP)
    assert len(baseline.to_bytes()) == len(VALID)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | mutated(HISTORY) | st.binary(min_size=len(HISTORY) - 1, max_size=len(HISTORY) - 1))
def test_a_history_that_is_read_can_be_used_and_written(data):
    try:
        history = DeviceHistory.from_bytes(HISTORY[:1] + data if len(data) == len(HISTORY) - 1 else data)
    except InvalidRecord:
        return
    single = SingleUser()
    single.state.histories["watch"] = history
    for start_ms in (HOP.start_ms, HOP.start_ms + HOP.hop_ms, history.newest * history.hop_ms):
        single.update(replace(HOP, start_ms=start_ms))
    assert len(history.to_bytes()) == len(HISTORY)


def test_a_baseline_that_was_halved_is_one():
    """Halving rounds each bin down, so that the axes no longer hold the same number of samples."""
    rng = np.random.default_rng(1)
    single = SingleUser()
    for _ in range(2_300):
        single.update(replace(HOP, mg=rng.normal(0, 400, (3, 250))))
    baseline = single.baseline
    totals = baseline.accelerometer.sum(axis=1)
    assert totals.max() != totals.min()
    assert UserBaseline.from_bytes(baseline.to_bytes()).to_bytes() == baseline.to_bytes()


FIELDS = st.one_of(
    st.sampled_from(
        [
            b"seq",
            b"baseline",
            b"c|watch|463333",
            b"c|a|b|1",
            b"c|",
            b"c|watch|",
            b"c|\xff|7",
            b"h|watch",
            b"h|",
            b"h|\xff",
            b"other",
        ]
    ),
    st.sampled_from([b"c|watch|" + b"9" * 5_000, b"c|watch|1e3", b"c|watch|-1", "c|watch|٣".encode(), b"c||1"]),
    st.binary(max_size=12),
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(FIELDS, st.sampled_from([b"", b"7", b"-1", b"x", b"9" * 5_000, VALID]) | st.binary(max_size=40)))
@example({b"baseline": VALID})
@example({b"baseline": VALID, b"seq": b"x"})
@example({b"baseline": VALID, b"seq": b"9" * 5_000})
@example({b"baseline": VALID, b"seq": b"7", b"c|\xff|1": b"\x01"})
@example({b"baseline": VALID, b"seq": b"7", b"c|watch|": b"\x01"})
def test_a_hash_of_any_content_is_a_user(reply):
    try:
        user = decode_user(reply)
    except InvalidRecord:
        return
    assert user.seq >= 0
    assert all(device and hour >= 0 and bits >= 0 for (device, hour), bits in user.hours.items())
    user.baseline.get(WINDOW_MG)


VALUES = st.binary(max_size=20) | st.sampled_from([b"7", b"007", b"-1", b"9" * 30, VALID])
KEYS = st.one_of(
    st.tuples(st.just("set"), VALUES),
    st.tuples(st.just("rpush"), VALUES),
    st.tuples(st.just("sadd"), VALUES),
    st.tuples(st.just("pfadd"), VALUES),
    st.tuples(st.just("zadd"), VALUES),
    st.tuples(st.just("xadd"), VALUES),
    st.tuples(st.just("hset"), st.dictionaries(FIELDS, VALUES, min_size=1, max_size=4)),
)


async def put(client: Redis, key: str, kind: str, content: bytes | dict[bytes, bytes]) -> None:
    if kind == "hset":
        await client.hset(key, mapping=content)
    elif kind == "zadd":
        await client.zadd(key, {content: 1})
    elif kind == "xadd":
        await client.xadd(key, {b"field": content})
    else:
        await getattr(client, kind)(key, content)


async def read_and_written(redis_url: str, keys: list[tuple[str, bytes | dict[bytes, bytes]]], *, before: bool) -> None:
    store = BaselineStore(redis_url, f"fuzz{secrets.token_hex(4)}:")
    users = [f"u{number}" for number in range(len(keys))]
    async with Redis.from_url(redis_url) as client:

        async def spoil() -> None:
            for user, (kind, content) in zip(users, keys, strict=True):
                await client.delete(store._key(user))
                await put(client, store._key(user), kind, content)

        async def write(seqs: list[int], *, whole: bool = False) -> list[object]:
            writes = [UserWrite(user, seq, VALID, {}, []) for user, seq in zip(users, seqs, strict=True)]
            return await store.write(writes, whole=whole)

        if before:
            await spoil()
        loaded = await store.load([*users, "good"])
        assert loaded["good"].seq == 0
        seqs = [loaded[user].seq for user in users]
        assert await write(seqs) == [WRITTEN] * len(users)
        if not before:
            # Under a worker that has them in memory: what is no user is lost, and written whole; what may be one is
            # another worker's, and read again.
            await spoil()
            await write([seq + 1 for seq in seqs])
            seqs = [stored.seq for stored in (await store.load(users)).values()]
            assert await write(seqs) == [WRITTEN] * len(users)
        await store.delete_all()
    await store.close()


@settings(max_examples=60, deadline=None)
@given(keys=st.lists(KEYS, min_size=1, max_size=4), before=st.booleans())
@example(keys=[("hset", {b"seq": b"7"})], before=True)
@example(keys=[("hset", {b"seq": b"007", b"baseline": VALID})], before=True)
def test_a_key_of_any_type_and_content_can_be_read_and_then_written(redis_url, keys, before):
    asyncio.run(read_and_written(redis_url, keys, before=before))
