import asyncio
import socket

import pytest
import redis.asyncio as redis

from gaitway.embedded import ValkeyServer, free_port
from services.features import baseline_store as store_module
from services.features.baseline_store import CONFLICT, EMPTY, WRITTEN, BaselineStore
from services.features.stored_user import UserWrite
from shared.contracts.errors import RetryLater
from shared.signal.baseline import UserBaseline
from shared.signal.user_state import UserState
from tests.services.features.hops import hop

HANG_S = 30.0


def baseline(seed: int) -> UserBaseline:
    state = UserState()
    state.check("watch", hop(seed, 0))
    state.update("watch", hop(seed, 0))
    return state.baseline


def write(user: str, seq: int, state: UserBaseline, hours=None, old=()) -> UserWrite:
    return UserWrite(user, seq, state.to_bytes(), hours or {}, list(old))


async def test_what_is_written_is_what_is_loaded(store):
    hours = {("watch", 463_333): 0b1011, ("a|b", 463_334): 1 << 359, ("watch", 463_332): 1}
    assert await store.write([write("u", 0, baseline(1), hours)]) == [WRITTEN]
    loaded = await store.load(["u", "nobody"])
    assert (loaded["u"].seq, loaded["u"].hours) == (1, hours)
    assert loaded["u"].baseline.to_bytes() == baseline(1).to_bytes()
    assert (loaded["nobody"].seq, loaded["nobody"].hours) == (0, {})
    assert loaded["nobody"].baseline.to_bytes() == UserBaseline().to_bytes()


async def test_hours_that_are_not_in_a_write_stay_and_old_ones_go(store):
    await store.write([write("u", 0, baseline(1), {("watch", 1): 1, ("watch", 2): 2})])
    assert await store.write([write("u", 1, baseline(2), {("watch", 3): 4}, old=[("watch", 1)])]) == [WRITTEN]
    assert (await store.load(["u"]))["u"].hours == {("watch", 2): 2, ("watch", 3): 4}


async def test_a_write_on_another_sequence_number_changes_nothing(store):
    await store.write([write("u", 0, baseline(1), {("watch", 1): 1})])
    outcomes = await store.write(
        [write("u", 0, baseline(2), {("watch", 1): 3}), write("u", 7, baseline(2)), write("v", 0, baseline(3))]
    )
    assert outcomes == [CONFLICT, CONFLICT, WRITTEN]
    assert await store.write([write("u", 1, baseline(2))], whole=True) == [CONFLICT]
    loaded = (await store.load(["u"]))["u"]
    assert (loaded.seq, loaded.hours) == (1, {("watch", 1): 1})
    assert loaded.baseline.to_bytes() == baseline(1).to_bytes()


async def test_after_a_flush_only_the_whole_user_is_taken(valkey, own_store):
    await own_store.write([write("u", 0, baseline(1), {("watch", 1): 1})])
    client = redis.Redis.from_url(valkey.url)
    await client.flushall()
    await client.script_flush()
    await client.aclose()
    assert await own_store.write([write("u", 1, baseline(2), {("watch", 2): 1})]) == [EMPTY]
    assert (await own_store.load(["u"]))["u"].seq == 0
    whole = {("watch", 1): 1, ("watch", 2): 1}
    assert await own_store.write([write("u", 1, baseline(2), whole)], whole=True) == [WRITTEN]
    loaded = (await own_store.load(["u"]))["u"]
    assert (loaded.seq, loaded.hours) == (1, whole)


async def test_a_user_expires(store, redis_url, redis_prefix):
    await store.write([write("u", 0, baseline(1))])
    client = redis.Redis.from_url(redis_url)
    assert 0 < await client.pttl(f"{redis_prefix}user:u") <= store_module.KEEP_MS
    await client.aclose()


async def test_a_baseline_that_cannot_be_read_is_a_cold_start_that_keeps_the_slots(store, redis_url, redis_prefix):
    await store.write([write("u", 0, baseline(1), {("watch", 1): 1})])
    client = redis.Redis.from_url(redis_url)
    await client.hset(f"{redis_prefix}user:u", "baseline", b"\x63short")
    await client.aclose()
    loaded = (await store.load(["u"]))["u"]
    assert (loaded.seq, loaded.hours) == (1, {("watch", 1): 1})
    assert loaded.baseline.to_bytes() == UserBaseline().to_bytes()


@pytest.mark.parametrize("seq", [None, "x", "9" * 30])
async def test_a_user_whose_sequence_number_is_none_can_be_written_again(store, redis_url, redis_prefix, seq):
    await store.write([write("u", 0, baseline(1), {("watch", 1): 1})])
    client = redis.Redis.from_url(redis_url)
    key = f"{redis_prefix}user:u"
    await (client.hdel(key, "seq") if seq is None else client.hset(key, "seq", seq))
    await client.aclose()
    loaded = (await store.load(["u"]))["u"]
    assert (loaded.seq, loaded.hours) == (0, {})
    assert await store.write([write("u", 0, baseline(2), {("watch", 2): 1})]) == [WRITTEN]
    assert (await store.load(["u"]))["u"].hours == {("watch", 2): 1}


async def test_final_windows_that_cannot_be_read_leave_the_others(store, redis_url, redis_prefix):
    await store.write([write("u", 0, baseline(1), {("watch", 1): 1})])
    client = redis.Redis.from_url(redis_url)
    wrong = {b"c|\xff|1": b"\x01", b"c|watch|": b"\x01", b"c|watch|-1": b"\x01", b"c|watch|2": b"\x01" * 46}
    await client.hset(f"{redis_prefix}user:u", mapping=wrong)
    await client.aclose()
    loaded = (await store.load(["u"]))["u"]
    assert (loaded.seq, loaded.hours) == (1, {("watch", 1): 1})
    assert loaded.baseline.to_bytes() == baseline(1).to_bytes()


async def test_more_users_than_go_in_one_round_trip(store, monkeypatch):
    monkeypatch.setattr(store_module, "ROUND_TRIP_USERS", 2)
    await store.write([write(f"u{i}", 0, baseline(i)) for i in range(5)])
    loaded = await store.load([f"u{i}" for i in range(6)])
    assert [stored.seq for stored in loaded.values()] == [1, 1, 1, 1, 1, 0]
    assert all(loaded[f"u{i}"].baseline.to_bytes() == baseline(i).to_bytes() for i in range(5))


async def test_deletes_under_its_prefix_only(redis_url, redis_prefix):
    # As a pattern of Redis, the first prefix would match the second.
    mine, other = (BaselineStore(redis_url, redis_prefix + suffix) for suffix in ("[x]*:", "x-and-more:"))
    for store in (mine, other):
        await store.write([write("u", 0, baseline(1))])
    await mine.delete_all()
    assert (await mine.load(["u"]))["u"].seq == 0
    assert (await other.load(["u"]))["u"].seq == 1
    await other.delete_all()
    for store in (mine, other):
        await store.close()


async def assert_retry_later(store: BaselineStore) -> None:
    for call in (
        lambda: store.ping(),
        lambda: store.load(["u"]),
        lambda: store.write([write("u", 0, baseline(1))]),
        lambda: store.delete_all(),
    ):
        async with asyncio.timeout(HANG_S):
            with pytest.raises(RetryLater, match="Redis"):
                await call()


async def test_redis_that_is_not_there():
    store = BaselineStore(f"redis://127.0.0.1:{free_port()}/0", "own:")
    await assert_retry_later(store)
    await store.close()


async def test_no_call_tries_again_by_itself():
    connections = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        store = BaselineStore(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", "own:")
        await assert_retry_later(store)
        await store.close()
    assert connections == 4


async def test_redis_that_goes_and_comes_back(valkey: ValkeyServer, own_store):
    await own_store.ping()
    valkey.kill()
    await assert_retry_later(own_store)
    valkey.start()
    assert await own_store.write([write("u", 0, baseline(1))]) == [WRITTEN]


async def test_redis_that_takes_the_connection_and_is_silent():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = BaselineStore(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", "own:")
        async with asyncio.timeout(HANG_S):
            with pytest.raises(RetryLater):
                await store.ping()
        await store.close()
