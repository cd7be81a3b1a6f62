"""Answers of Redis: those that waiting mends, and those that it does not."""

import asyncio

import pytest
import redis.asyncio as redis

from services.features.baseline_store import WRITTEN, BaselineStore
from shared.contracts.errors import Refused, RetryLater
from tests.services.features.test_baseline_cache import Worker
from tests.services.features.test_baseline_store import baseline, write


@pytest.fixture
async def admin(valkey):
    async with redis.Redis.from_url(valkey.url) as client:
        yield client


async def failure(store: BaselineStore, user: str = "u") -> RetryLater:
    """Why a write does not get through."""
    try:
        (outcome,) = await store.write([write(user, 0, baseline(1))])
    except RetryLater as error:
        return error
    assert isinstance(outcome, RetryLater)
    return outcome


@pytest.mark.parametrize(
    ("setting", "value", "before", "word"),
    [
        ("maxmemory", "1", "0", "OOM"),
        ("min-replicas-to-write", "1", "0", "NOREPLICAS"),
        ("replicaof", "127.0.0.1 1", "no one", "READONLY"),
    ],
)
async def test_a_state_of_redis_that_passes_is_an_outage(own_store, admin, setting, value, before, word):
    async def put(value: str) -> None:
        if setting == "replicaof":
            await admin.execute_command("REPLICAOF", *value.split())
        else:
            await admin.config_set(setting, value)

    await put(value)
    error = await failure(own_store)
    assert word in str(error)
    assert not isinstance(error, Refused)
    await put(before)
    assert await own_store.write([write("u", 0, baseline(1))]) == [WRITTEN]


async def test_a_replica_without_its_master_is_an_outage(own_store, admin):
    await admin.config_set("replica-serve-stale-data", "no")
    await admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(RetryLater, match="MASTERDOWN") as caught:
        await own_store.load(["u"])
    assert not isinstance(caught.value, Refused)


async def test_scripts_that_were_flushed_are_sent_again(own_store, admin):
    await own_store.write([write("u", 0, baseline(1))])
    await admin.script_flush()
    assert await own_store.write([write("u", 1, baseline(1))]) == [WRITTEN]
    await admin.script_flush()
    await admin.set("own:user:v", "x")
    assert (await own_store.load(["v"]))["v"].seq == 0


async def test_a_password_that_is_missing_or_wrong_is_a_refusal(valkey, own_store, admin):
    await admin.config_set("requirepass", "secret")
    await admin.execute_command("AUTH", "secret")
    for url, word in ((valkey.url, "NOAUTH"), (valkey.url.replace("//", "//:other@"), "WRONGPASS")):
        store = BaselineStore(url, "own:")
        for call in (store.ping, lambda store=store: store.load(["u"])):
            with pytest.raises(Refused, match=word):
                await call()
        assert isinstance(await failure(store), Refused)
        await store.close()


async def test_a_command_that_is_not_allowed_is_a_refusal(valkey, admin):
    await admin.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+ping")
    store = BaselineStore(valkey.url.replace("//", "//reader:pw@"), "own:")
    assert (await store.load(["u"]))["u"].seq == 0
    error = await failure(store)
    assert isinstance(error, Refused)
    assert "NOPERM" in str(error)
    await store.close()


ANSWERS = {
    b"-LOADING Redis is loading the dataset in memory\r\n": RetryLater,
    b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL.\r\n": RetryLater,
    b"-MISCONF Redis is configured to save RDB snapshots, but is unable to persist on disk.\r\n": RetryLater,
    b"-CLUSTERDOWN The cluster is down\r\n": RetryLater,
    b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n": RetryLater,
    b"-ERR max number of clients reached\r\n": RetryLater,
    b"-ERR unknown command 'HGETALL', with args beginning with: 'x'\r\n": Refused,
    b"-MOVED 1 127.0.0.1:1\r\n": Refused,
    b"-DENIED Redis is running in protected mode\r\n": Refused,
    b"HTTP/1.1 400 Bad Request\r\n\r\n": Refused,
    b"220 mail.example ESMTP\r\n": Refused,
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_answers_of_a_server(answer):
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        store = BaselineStore(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", "own:")
        with pytest.raises(RetryLater) as caught:
            await store.ping()
        assert type(caught.value) is ANSWERS[answer]
        await store.close()


async def test_an_outage_is_logged_once_in_a_while(own_store, admin, caplog):
    worker = Worker(own_store)
    await worker.load("u")
    worker.publish("u", 1, 0)
    await admin.config_set("maxmemory", "1")
    for _ in range(20):
        assert not await worker.save()
    assert caplog.text.count("OOM") == 1
    await admin.config_set("maxmemory", "0")
    assert await worker.save()
