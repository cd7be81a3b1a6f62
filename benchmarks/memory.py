"""Memory per user of the features service: ``python -m benchmarks.memory --users 2000``.

Growth of the process's resident memory with the number of users. Active: in the middle of a stream, with open windows.
Idle: after the windows have closed, before the user is removed from memory (a setting, 15 min). The first users are not
counted: with them the buffers of the consumer, the merge and the producer reach their size.
"""

import argparse
import asyncio
import logging
import time
from dataclasses import dataclass

import psutil
from rich.console import Console

from benchmarks.bus import delete_topics, make_prefix, open_reader
from benchmarks.features_log import FeaturesLog, make_features_log
from benchmarks.features_topics import write_ticks, write_watch_topics
from benchmarks.stages.features import features_service
from gaitway.embedded import KafkaBroker, ValkeyServer
from shared.contracts.topics import WINDOWS
from shared.runtime.clock import system_clock

SECONDS = 30
"""Seconds of data: one or two windows are complete, two more are open."""
WARM_UP_USERS = 500
IDLE_GRACE_S = 0.5
LONG_GRACE_S = 3600.0
CHUNK_USERS = 100
SETTLE_S = 1.0
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes per user."""

    active: float
    idle: float


def memory_per_user(kafka: str, redis: str, users: int) -> Memory:
    """Measure two processes, one with windows that stay open and one whose windows close at once.

    Raises:
        TimeoutError: the windows do not come.
        StackError: the service cannot start.
    """
    return Memory(
        active=_growth(kafka, redis, users, LONG_GRACE_S, users),
        # Few at a time, because memory for open windows would stay in the process.
        idle=_growth(kafka, redis, users, IDLE_GRACE_S, CHUNK_USERS),
    )


def _growth(kafka: str, redis: str, users: int, grace_s: float, chunk: int) -> float:
    prefix = make_prefix()
    log = make_features_log(WARM_UP_USERS + users, SECONDS, system_clock())
    warm_up, counted = log.users[:WARM_UP_USERS], log.users[WARM_UP_USERS:]
    with features_service(kafka, redis, prefix, grace_s=grace_s) as service:
        process = psutil.Process(service.pid)
        resident = []
        for group in (warm_up, counted):
            for begin in range(0, len(group), chunk):
                _feed(kafka, prefix, log, group[begin : begin + chunk], grace_s)
            resident.append(int(process.memory_info().rss))
    asyncio.run(delete_topics(kafka, prefix))
    return (resident[1] - resident[0]) / users


def _feed(kafka: str, prefix: str, log: FeaturesLog, users: list[str], grace_s: float) -> None:
    asyncio.run(_feed_until_done(kafka, prefix, FeaturesLog(users, log.patterns, log.seconds), grace_s))


async def _feed_until_done(kafka: str, prefix: str, part: FeaturesLog, grace_s: float) -> None:
    """Send the users' data and wait until it is processed and all windows past their grace period are closed."""
    await write_watch_topics(kafka, prefix, part)
    if grace_s <= SETTLE_S:
        await asyncio.sleep(grace_s)
        await write_ticks(kafka, prefix)
    consumer = await open_reader(kafka, prefix + WINDOWS.name)
    keys, count, expected = {user.encode() for user in part.users}, 0, len(part.expected)
    deadline_s = time.monotonic() + TIMEOUT_S
    try:
        while count < expected:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{count} of {expected} windows came in {TIMEOUT_S:.0f} s")
            for records in (await consumer.getmany(timeout_ms=200)).values():
                count += sum(record.key in keys for record in records)
    finally:
        await consumer.stop()
    await asyncio.sleep(SETTLE_S)


def main() -> None:
    """This measurement alone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--users", type=int, default=2000)
    users = parser.parse_args().users
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # a new topic has a leader only after a moment
    with KafkaBroker() as broker, ValkeyServer() as redis:
        memory = memory_per_user(broker.bootstrap_servers, redis.url, users)
    Console(width=120).print(
        f"features, per user of {users:,}: active {memory.active / 1024:,.1f} KiB, idle {memory.idle / 1024:,.1f} KiB"
    )


if __name__ == "__main__":
    main()
