"""The events that are counted, and the verdict on them."""

import asyncio
import json
from contextlib import suppress

from gaitway.load.check import EventCheck
from gaitway.load.fleet import Fleet
from shared.contracts import topics
from shared.kafka.admin import ensure_topics
from tests.e2e.harness import until
from tests.integration.kafka_io import producer
from tests.shared.windows.signals import BASE_MS


def verdict(*counts: dict[int, int], phase_per_user: bool = False):
    users = [f"u{n}" for n in range(len(counts))]
    fleet = Fleet(users, [b""] * len(counts), [b""], BASE_MS + 5_000, phase_per_user=phase_per_user)
    check = EventCheck(fleet, "nowhere", "")
    check.seen.hop_ms = 10_000
    for own, seen in zip(check.seen.counts, counts, strict=True):
        own |= {BASE_MS + second * 1000: count for second, count in seen.items()}
    return check.verdict(8)


def test_every_window_once():
    whole = verdict({0: 1, 10: 1, 20: 1})
    assert (whole.expected, whole.missing, whole.twice, whole.partial, whole.unexpected) == (3, 0, 0, 0, 0)


def test_every_window_on_its_users_grid_once():
    # u0 has the phase 8 s, u1 2 s; u1 begins 2.5 s later.
    own = verdict({8: 1, 18: 1}, {12: 1, 22: 1}, phase_per_user=True)
    assert (own.expected, own.missing, own.partial, own.unexpected) == (4, 0, 0, 0)
    others = verdict({12: 1, 22: 1}, {8: 1, 18: 1}, phase_per_user=True)
    assert (others.expected, others.missing, others.partial) == (4, 4, 4)


def test_missing_repeated_cut_and_foreign_windows_are_counted():
    found = verdict({0: 1, 20: 3, -10: 1, 90: 1})
    assert (found.missing, found.twice, found.partial, found.unexpected) == (1, 2, 1, 1)


def test_without_an_event_all_are_missing():
    check = EventCheck(Fleet(["u"], [b""], [b""], BASE_MS + 5_000, phase_per_user=False), "nowhere", "")
    assert check.verdict(8).missing == check.verdict(8).expected == 3


async def test_events_of_other_users_are_counted_apart(kafka, topic_prefix):
    await ensure_topics(kafka, topic_prefix, 1, 1)
    check = EventCheck(Fleet(["own"], [b""], [b""], BASE_MS), kafka, topic_prefix)
    ready = asyncio.Event()
    reading = asyncio.create_task(check.run(ready))
    try:
        await asyncio.wait_for(ready.wait(), 60)
        async with producer(kafka) as anybody:
            for user in ("other", "own"):
                event = {"user": user, "window_start_ms": BASE_MS, "hop_ms": 10_000}
                times = {"source_received_at_ms": BASE_MS, "published_at_ms": BASE_MS}
                value = json.dumps(event | times).encode()
                await anybody.send_and_wait(topic_prefix + topics.EVENTS.name, value, key=user.encode())
        await until(lambda: check.seen.events, "the fleet's own event")
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
    assert (check.seen.events, check.seen.foreign) == (1, 1)
    assert check.seen.counts == [{BASE_MS: 1}]
