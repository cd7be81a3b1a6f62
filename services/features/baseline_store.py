"""Users' baselines and final windows in Redis: read as a whole, written by compare-and-set.

One hash per user: ``seq`` counts the writes, ``baseline`` holds the histograms, ``c|DEVICE|HOUR`` the bitmap of that
hour's final windows, ``h|DEVICE`` the device's last half hour. A write succeeds only with the stored sequence number,
so a paused worker that resumes cannot add data twice: histograms and bitmaps change together or not at all.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from services.features.redis_errors import as_retry, is_wrong_type
from services.features.stored_user import StoredUser, UserWrite, decode_user
from shared.contracts.errors import InvalidRecord, RetryLater
from shared.contracts.time_limits import DAY_MS
from shared.contracts.window_bitmap import bitmap_to_bytes
from shared.runtime import metrics
from shared.runtime.logging import RateLimitedLogger

log = logging.getLogger("gaitway.features")

KEEP_MS = 60 * DAY_MS
"""A user without data for 60 days starts again without a baseline."""

# KEYS[1] the user. ARGV: expected seq, keep ms, baseline, fields to delete (count first), field/bitmap pairs.
# Returns 1: written; 0: the stored seq differs; 2: nothing was stored (a flush), the caller writes everything.
_WRITE = """
local seq = redis.call('HGET', KEYS[1], 'seq')
if not seq and ARGV[1] ~= '0' and ARGV[1] ~= 'all' then return 2 end
if seq and seq ~= ARGV[1] then return 0 end
local drop = tonumber(ARGV[4])
for i = 5, 4 + drop do redis.call('HDEL', KEYS[1], ARGV[i]) end
for i = 5 + drop, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'baseline', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""

# KEYS: the user, the new key. ARGV: keep ms, reason, the seq that was read.
# Returns 1: moved; 0: the key has changed since it was read, or is gone, so it is not moved.
_SET_ASIDE = """
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind == 'none' then return 0 end
if kind == 'hash' and ARGV[2] == 'wrong_type' then return 0 end
if kind == 'hash' and ARGV[2] == 'sequence' and (redis.call('HGET', KEYS[1], 'seq') or '') ~= ARGV[3] then return 0 end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return 1
"""

SET_ASIDE_MS = 7 * DAY_MS
"""How long an operator can inspect a key that was set aside."""
MAX_USER_BYTES = 8 * 1024**2
"""Size in Redis's memory. A user of a few watches takes 30 KB; a larger key cannot be read in time."""

WRITTEN, CONFLICT, EMPTY = 1, 0, 2

ROUND_TRIP_USERS = 256
"""About 2 MB. After an outage of Redis, all users at once would exceed the time limit of a call."""

T = TypeVar("T")


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split items into batches of one round trip, in order."""
    return (items[start : start + ROUND_TRIP_USERS] for start in range(0, len(items), ROUND_TRIP_USERS))


class BaselineStore:
    """The only access to Redis. All methods raise RetryLater when Redis does not answer, or Refused.

    A key without valid user data is set aside under ``set-aside:user:``. That user starts again without a baseline, and
    no other user is affected.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._prefix = prefix
        # The service itself retries, per batch: a hidden retry here would stall its loop.
        self._redis = redis.Redis.from_url(
            url, socket_timeout=2.0, socket_connect_timeout=2.0, retry=Retry(NoBackoff(), 0)
        )
        self._write = self._redis.register_script(_WRITE)
        self._rate_limited = RateLimitedLogger(log, lines_per_s=2)
        self._move = self._redis.register_script(_SET_ASIDE)

    def _key(self, user: str) -> str:
        return f"{self._prefix}user:{user}"

    async def ping(self) -> None:
        """Raise RetryLater unless Redis answers."""
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            raise as_retry(error) from error

    async def load(self, users: Iterable[str]) -> dict[str, StoredUser]:
        """Read users; a new one, or one whose key holds other data, is returned empty."""
        stored: dict[str, StoredUser] = {}
        try:
            for some in batches(list(users)):
                async with self._redis.pipeline(transaction=False) as pipe:
                    for user in some:
                        pipe.hgetall(self._key(user))
                    replies = await self._replies(pipe, some)
                for user, reply in zip(some, replies, strict=True):
                    stored[user] = await self._readable(user, reply)
        except (RedisError, OSError) as error:
            raise as_retry(error) from error
        return stored

    async def _replies(self, pipe: redis.client.Pipeline, users: Sequence[str]) -> list[Any]:
        """Return one reply or error per command."""
        try:
            return list(await pipe.execute(raise_on_error=False))
        except RedisTimeout:
            # A key that is too large would make every retry of this batch time out, for all its users.
            await self._set_large_aside(users)
            raise

    async def _readable(self, user: str, reply: Any) -> StoredUser:
        if isinstance(reply, Exception):
            if not is_wrong_type(reply):
                raise reply
            await self._set_aside(user, "wrong_type")
            return StoredUser()
        try:
            return decode_user(reply)
        except InvalidRecord:
            # Without a valid seq, compare-and-set cannot work.
            await self._set_aside(user, "sequence", reply.get(b"seq", b""))
            return StoredUser()

    async def _set_aside(self, user: str, reason: str, seq: bytes = b"") -> None:
        key, aside = self._key(user), f"{self._prefix}set-aside:user:{user}"
        if await self._move(keys=[key, aside], args=[SET_ASIDE_MS, reason, seq]):
            metrics.UNREADABLE_USERS.labels(reason).inc()
            # No log line names a user; an operator finds the key in Redis.
            text = "a Redis key is no user (%s): kept for 7 days under %sset-aside:user:; the user starts again"
            self._rate_limited.log(logging.ERROR, text, reason, self._prefix)

    async def _set_large_aside(self, users: Sequence[str]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            for user in users:
                pipe.memory_usage(self._key(user))
            sizes = await pipe.execute(raise_on_error=False)
        for user, size in zip(users, sizes, strict=True):
            if isinstance(size, int) and size > MAX_USER_BYTES:
                await self._set_aside(user, "too_large")

    async def write(self, writes: Sequence[UserWrite], *, whole: bool = False) -> list[int | RetryLater]:
        """Write users in one round trip; returns per user WRITTEN, CONFLICT, EMPTY or the error.

        ``whole``: the writes hold all data, so they may also create a user. EMPTY is also the result for a key of
        another type, which has been set aside.
        """
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for write in writes:
                    pairs = [
                        part
                        for (device, hour), bits in write.hours.items()
                        for part in (f"c|{device}|{hour}", bitmap_to_bytes(bits))
                    ]
                    pairs += [part for device, past in write.histories.items() for part in (f"h|{device}", past)]
                    old = [f"c|{device}|{hour}" for device, hour in write.old]
                    seq = "all" if whole else str(write.seq)
                    await self._write(
                        keys=[self._key(write.user)],
                        args=[seq, KEEP_MS, write.baseline, len(old), *old, *pairs],
                        client=pipe,
                    )
                replies = await pipe.execute(raise_on_error=False)
            return [await self._outcome(write.user, reply) for write, reply in zip(writes, replies, strict=True)]
        except (RedisError, OSError) as error:
            raise as_retry(error) from error

    async def _outcome(self, user: str, reply: Any) -> int | RetryLater:
        if not isinstance(reply, Exception):
            return int(reply)
        if is_wrong_type(reply):
            await self._set_aside(user, "wrong_type")
            return EMPTY
        return as_retry(reply)

    async def delete_all(self) -> None:
        """Delete all users under the prefix."""
        try:
            for kind in ("user", "set-aside:user"):
                async for key in self._redis.scan_iter(match=f"{_literal(self._prefix)}{kind}:*", count=1000):
                    await self._redis.delete(key)
        except (RedisError, OSError) as error:
            raise as_retry(error) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _literal(text: str) -> str:
    """Escape text for a Redis pattern, because a prefix such as ``a*`` would match other keys."""
    return re.sub(r"([*?\[\]^\\])", r"\\\1", text)
