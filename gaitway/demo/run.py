"""`gaitway demo` from start to summary."""

import asyncio
import contextlib
import json
import math
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from gaitway.demo.check import ReceivedEvent, WindowKey, compute_latency_s, count_events, count_wrong, score_events
from gaitway.demo.external_services import check_services, delete_data
from gaitway.demo.stack import EMBEDDED, Stack, running_stack
from gaitway.demo.table import make_table
from gaitway.embedded import KAFKA_VERSION
from gaitway.events import EventReader
from gaitway.expected import expected_windows
from gaitway.replay import Watch, make_watch, replay, users_of
from shared.contracts.token import make_token
from shared.model.bundle import LoadedModel, load_bundle
from shared.runtime.clock import system_clock
from training.datasets import find_sources

GRACE_S = 60.0
MIN_GRACE_S = 2.0
SILENCE_S = 20.0
"""If no event comes for this long after the last window must have closed, the rest counts as missing."""
SETTLE_S = 1.5
"""How long the demo waits for duplicates after the last expected event."""
REFRESH_S = 0.25
LINES_S = 5.0


@dataclass(slots=True)
class _DemoState:
    """State of the replay, for the table and the summary."""

    watches: list[Watch]
    expected: set[WindowKey]
    seen: list[ReceivedEvent] = field(default_factory=list)
    latest: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    last_event_s: float = 0.0

    @property
    def uploads(self) -> int:
        return sum(len(watch.uploads) for watch in self.watches)

    @property
    def sent(self) -> int:
        return sum(watch.sent for watch in self.watches)

    @property
    def complete(self) -> bool:
        return self.expected <= {item.key for item in self.seen}


def run_demo(
    console: Console,
    *,
    watches: int | None,
    speed: float,
    broker: str,
    redis: str,
    recordings: Path,
    model: Path,
    summary: Path | None,
    keep: bool,
) -> bool:
    """Run it; True when no event is missing, duplicated, unexpected or wrong. ``speed`` may be infinite.

    Raises:
        GaitwayError, CommandError, DatasetError: an input or a dependency is wrong; the message is one line.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began_s = time.monotonic()
    bundle = load_bundle(model)
    sources = find_sources(f"recordings={recordings}")[:watches]
    people = [source.read() for source in sources]
    broker_name = f"embedded Apache Kafka {KAFKA_VERSION}" if broker == EMBEDDED else broker
    console.print(f"Kafka: {broker_name}; model: {bundle.name_version}; {len(people)} people to replay", soft_wrap=True)
    check_services(broker, redis)
    # Log time runs at the speed of the replay, so the grace period shrinks with it.
    grace_s = max(MIN_GRACE_S, GRACE_S / speed)
    with running_stack(broker, redis, model=model, grace_s=grace_s) as stack:
        console.print(f"gateway {stack.url}, Kafka {stack.kafka}, Redis {stack.redis}: all up", soft_wrap=True)
        now_ms = system_clock()
        fleet = [
            make_watch(recording, make_token(stack.jwt_key, user), now_ms, speed, user)
            for recording, user in zip(people, users_of(people), strict=True)
        ]
        state = _DemoState(fleet, _find_expected(recordings, [source.name for source in sources], fleet))
        asyncio.run(_replay(state, stack, speed, grace_s, console))
        result = _summarise(state, bundle) | {
            "speed": "max" if math.isinf(speed) else speed,
            "grace_s": grace_s,
            "broker": broker_name,
            "model": bundle.name_version,
            "seconds": round(time.monotonic() - began_s, 1),
        }
        _print_summary(console, state, result, bundle)
        if summary is not None:
            summary.write_text(json.dumps(result, indent=2) + "\n")
        if keep:
            _wait_for_interrupt(console, stack)
    # Not before: features writes its users once more when it stops.
    delete_data(broker, redis, stack)
    return not any(result[name] for name in ("missing", "duplicates", "unexpected", "wrong"))


def _find_expected(root: Path, names: list[str], watches: list[Watch]) -> set[WindowKey]:
    """Compute the expected windows from the files alone, with code that shares nothing with the services."""
    folders = [root / name if (root / name).is_dir() else root for name in names]
    return {
        (watch.name, start)
        for folder, watch in zip(folders, watches, strict=True)
        for start in expected_windows(folder, user=watch.name, shift_ms=watch.shift_ms)
    }


async def _replay(state: _DemoState, stack: Stack, speed: float, grace_s: float, console: Console) -> None:
    async with (
        EventReader(stack.kafka, topic_prefix=stack.topic_prefix, from_start=True) as reader,
        asyncio.TaskGroup() as group,
    ):
        sending = group.create_task(replay(state.watches, stack.url, speed))
        reading = group.create_task(_read(reader, state))
        showing = group.create_task(_show(state, console))
        await sending
        await _wait_for_events(state, grace_s)
        reading.cancel()
        showing.cancel()


async def _read(reader: EventReader, state: _DemoState) -> None:
    while True:
        for event in await reader.poll():
            state.seen.append(ReceivedEvent(event, system_clock()))
            user = event.data["user"]
            state.counts[user] += 1
            state.last_event_s = time.monotonic()
            if event.data["window_start_ms"] >= state.latest.get(user, event.data)["window_start_ms"]:
                state.latest[user] = event.data


async def _wait_for_events(state: _DemoState, grace_s: float) -> None:
    sent_s = time.monotonic()
    while not state.complete:
        quiet_since_s = max(state.last_event_s, sent_s + grace_s)
        if time.monotonic() - quiet_since_s > SILENCE_S:
            return
        await asyncio.sleep(REFRESH_S)
    await asyncio.sleep(SETTLE_S)


async def _show(state: _DemoState, console: Console) -> None:
    """Show a live table on a terminal, else print a line every ``LINES_S``."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(LINES_S)
            console.print(f"{state.sent} of {state.uploads} uploads, {len(state.seen)} of {len(state.expected)} events")
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(make_table(state.watches, state.latest, state.counts), refresh=True)
            await asyncio.sleep(REFRESH_S)


def _summarise(state: _DemoState, model: LoadedModel) -> dict[str, Any]:
    scored = score_events(state.watches, state.seen, model.label_set).summary()
    return {
        "watches": len(state.watches),
        "uploads": state.sent,
        "retries": sum(watch.retries for watch in state.watches),
        "windows_expected": len(state.expected),
        "events": len(state.seen),
        **count_events(state.expected, state.seen),
        "wrong": count_wrong(state.watches, state.seen, model),
        "uar": scored["uar"],
        "uar_by_person": scored["uar_by_person"],
        "latency_s": compute_latency_s(state.seen),
    }


def _print_summary(console: Console, state: _DemoState, result: dict[str, Any], model: LoadedModel) -> None:
    if not console.is_terminal:  # on a terminal the live table is still there
        console.print(make_table(state.watches, state.latest, state.counts))
    console.print(score_events(state.watches, state.seen, model.label_set).table())
    latency = result["latency_s"]
    times = " ".join(f"{name} {value:.2f} s" for name, value in latency.items()) if latency else "no event"
    uar = "no labels" if result["uar"] is None else f"{result['uar']:.3f}"
    console.print(
        f"{result['watches']} watches, {result['uploads']} uploads; {result['windows_expected']} windows expected, "
        f"{result['events']} events: {result['missing']} missing, {result['duplicates']} duplicates, "
        f"{result['unexpected']} unexpected, {result['wrong']} wrong",
        soft_wrap=True,
    )
    console.print(
        f"UAR {uar} (mean over people); latency {times}; {result['seconds']} s in all; {result['model']}",
        soft_wrap=True,
    )


def _wait_for_interrupt(console: Console, stack: Stack) -> None:
    console.print(f"gateway    {stack.url}  (GAITWAY_JWT_KEY={stack.jwt_key})")
    console.print(f"Kafka      {stack.kafka}  (topic prefix {stack.topic_prefix!r})")
    console.print(f"Redis      {stack.redis}")
    for name, url in stack.health.items():
        console.print(f"{name:<10} {url}/metrics")
    console.print("everything stays up until Ctrl-C")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
