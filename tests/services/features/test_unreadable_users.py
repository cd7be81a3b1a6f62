"""Keys of Redis that hold no user: that user begins anew, nobody else notices."""

import logging

import pytest
import redis.asyncio as redis
from prometheus_client import REGISTRY
from redis.asyncio.client import Pipeline
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.features import baseline_store as store_module
from services.features.baseline_store import EMPTY, WRITTEN, BaselineStore
from shared.contracts.errors import Refused, RetryLater
from shared.signal.baseline import UserBaseline
from tests.services.features.test_baseline_cache import reloaded
from tests.services.features.test_baseline_store import baseline, write


@pytest.fixture
async def client(redis_url):
    async with redis.Redis.from_url(redis_url) as client:
        yield client


async def put_string(client, key):
    await client.set(key, "x")


async def put_list(client, key):
    await client.rpush(key, "a", "b")


async def put_set(client, key):
    await client.sadd(key, "a")


async def put_sorted_set(client, key):
    await client.zadd(key, {"a": 1})


async def put_stream(client, key):
    await client.xadd(key, {"a": "b"})


async def put_no_sequence(client, key):
    await client.hset(key, mapping={"a": "b", "c|watch|1": b"\x01"})


async def put_padded_sequence(client, key):
    await client.hset(key, mapping={"seq": "007", "baseline": baseline(1).to_bytes()})


async def put_word_as_sequence(client, key):
    await client.hset(key, mapping={"seq": b"\xff", "baseline": b"\x00" * 100})


OTHER_TYPES = [put_string, put_list, put_set, put_sorted_set, put_stream]
WRONG = [*OTHER_TYPES, put_no_sequence, put_padded_sequence, put_word_as_sequence]


def counted(reason: str) -> float:
    return REGISTRY.get_sample_value("gaitway_features_unreadable_users_total", {"reason": reason})


@pytest.mark.parametrize("put", WRONG)
async def test_a_key_that_holds_no_user_is_set_aside(store, client, redis_prefix, put, caplog):
    await store.write([write("good", 0, baseline(1))])
    await put(client, f"{redis_prefix}user:bad")
    before = await client.dump(f"{redis_prefix}user:bad")
    reason = "wrong_type" if put in OTHER_TYPES else "sequence"
    count = counted(reason)
    for _ in range(3):
        loaded = await store.load(["bad", "good", "new"])
        assert [stored.seq for stored in loaded.values()] == [0, 1, 0]
        assert loaded["bad"].hours == {}
        assert loaded["bad"].baseline.to_bytes() == UserBaseline().to_bytes()
    assert counted(reason) == count + 1
    [line] = [record for record in caplog.records if "is no user" in record.getMessage()]
    assert line.levelno == logging.ERROR
    assert "bad" not in line.getMessage(), "no user in logs"
    aside = f"{redis_prefix}set-aside:user:bad"
    assert await client.dump(aside) == before
    assert 0 < await client.pttl(aside) <= store_module.SET_ASIDE_MS
    assert await store.write([write("bad", 0, baseline(2)), write("good", 1, baseline(2))]) == [WRITTEN, WRITTEN]
    assert (await store.load(["bad"]))["bad"].baseline.to_bytes() == baseline(2).to_bytes()


async def test_a_hash_without_a_baseline_is_a_cold_start_that_keeps_the_slots(store, client, redis_prefix):
    """And can be written: with seq 0 no write would ever find the one that is stored."""
    await client.hset(f"{redis_prefix}user:u", mapping={"seq": "5", "c|watch|1": b"\x01"})
    loaded = (await store.load(["u"]))["u"]
    assert (loaded.seq, loaded.hours) == (5, {("watch", 1): 1})
    assert await store.write([write("u", 5, baseline(1))]) == [WRITTEN]


@pytest.mark.parametrize("put", OTHER_TYPES)
async def test_a_user_in_memory_whose_key_becomes_something_else_loses_nothing(store, client, redis_prefix, put):
    worker = await reloaded(store, "bad", "good")
    for user in ("bad", "good"):
        worker.publish(user, 1, 0)
    assert await worker.save()
    await client.delete(f"{redis_prefix}user:bad")
    await put(client, f"{redis_prefix}user:bad")
    for user in ("bad", "good"):
        worker.publish(user, 1, 1)
    assert await worker.save()
    assert worker.sync.failure is None
    again = await reloaded(store, "bad", "good")
    for user in ("bad", "good"):
        assert again.users.state(user).baseline.to_bytes() == worker.users.state(user).baseline.to_bytes()
        assert [again.publish(user, 1, index) for index in (0, 1)] == [None, None]


async def test_the_outcome_of_a_key_of_another_type_is_that_of_a_lost_user(store, client, redis_prefix):
    await client.set(f"{redis_prefix}user:bad", "x")
    assert await store.write([write("bad", 3, baseline(1)), write("good", 0, baseline(1))]) == [EMPTY, WRITTEN]
    assert await store.write([write("bad", 3, baseline(1))], whole=True) == [WRITTEN]


async def test_a_user_too_large_to_be_read_in_time_is_set_aside(store, client, redis_prefix, monkeypatch):
    key = f"{redis_prefix}user:bad"
    execute = Pipeline.execute

    async def timing_out(pipe, raise_on_error=True):
        """How long a real one takes is the machine's matter: here the key is too large for as long as it exists."""
        if any(command == ("HGETALL", key) for command, _ in pipe.command_stack) and await client.exists(key):
            raise RedisTimeoutError("Timeout reading")
        return await execute(pipe, raise_on_error)

    monkeypatch.setattr(store_module, "MAX_USER_BYTES", 100_000)
    monkeypatch.setattr(Pipeline, "execute", timing_out)
    await store.write([write("good", 0, baseline(1))])
    await client.hset(key, mapping={f"f{i}": "v" * 20 for i in range(5_000)})
    with pytest.raises(RetryLater):
        await store.load(["bad", "good"])
    assert await client.exists(f"{redis_prefix}set-aside:user:bad")
    loaded = await store.load(["bad", "good"])
    assert [stored.seq for stored in loaded.values()] == [0, 1]


async def test_what_was_set_aside_is_deleted_with_the_rest(store, client, redis_prefix):
    await client.set(f"{redis_prefix}user:bad", "x")
    await store.load(["bad"])
    await store.delete_all()
    assert [key async for key in client.scan_iter(f"{redis_prefix}*")] == []


class RefusingStore(BaselineStore):
    """A Redis that has no place for anything of some users."""

    refused: frozenset[str] = frozenset()

    async def write(self, writes, *, whole=False):
        taken = [write for write in writes if write.user not in self.refused]
        outcomes = iter(await super().write(taken, whole=whole))
        return [Refused("Redis: no") if write.user in self.refused else next(outcomes) for write in writes]


async def test_a_write_that_is_refused_holds_no_other_back(redis_url, redis_prefix, monkeypatch, caplog):
    monkeypatch.setattr(store_module, "ROUND_TRIP_USERS", 2)
    store = RefusingStore(redis_url, redis_prefix)
    worker = await reloaded(store, *"abcde")
    RefusingStore.refused = frozenset("a")
    for user in "abcde":
        worker.publish(user, 1, 0)
    for _ in range(20):
        assert not await worker.save()
    assert [stored.seq for stored in (await store.load("abcde")).values()] == [0, 1, 1, 1, 1]
    assert worker.users.waiting == 1
    assert isinstance(worker.sync.failure, Refused)
    assert caplog.text.count("Redis: no") == 1
    RefusingStore.refused = frozenset()
    assert await worker.save()
    assert worker.sync.failure is None
    await store.delete_all()
    await store.close()
