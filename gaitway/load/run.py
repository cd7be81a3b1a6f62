"""`gaitway load` from start to summary."""

import asyncio
import json
import resource
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import uvloop
from rich.console import Console

from gaitway.errors import CommandError
from gaitway.load.check import EventCheck, ReceivedEvents
from gaitway.load.fleet import Fleet, request_head
from gaitway.load.open_loop import OpenLoopSender, SendResults
from gaitway.load.templates import PERIOD_MS, make_templates
from shared.contracts.token import make_token
from shared.runtime.clock import system_clock
from training.datasets import find_sources

LEAD_MS = 2_000
"""Time before the first upload is due, in which the consumer and the connections start."""
SETTLE_S = 2.0
SILENCE_S = 10.0
"""If no event comes for this long after the last upload, the rest counts as missing."""
LINE_S = 10.0


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """``kafka`` None: events are not checked."""

    url: str
    jwt_key: str
    kafka: str | None
    topic_prefix: str
    watches: int
    minutes: float
    connections: int
    recordings: Path
    ramp_s: float = 0.0
    summary: Path | None = None
    phase_per_user: bool = True

    @property
    def steps(self) -> int:
        """Uploads per watch."""
        return max(1, round(self.minutes * 60_000 / PERIOD_MS))

    @property
    def ramp_steps(self) -> int:
        """Periods over which the watches join."""
        return max(1, round(self.ramp_s * 1000 / PERIOD_MS))


def run_load(options: LoadOptions, console: Console) -> dict[str, Any]:
    """Send uploads, check events and print the progress; returns the summary.

    Raises:
        CommandError, GaitwayError: nothing listens there, or the recordings cannot be used.
    """
    return uvloop.run(_run(options, console))


def passed(summary: dict[str, Any]) -> bool:
    """Whether every upload was accepted and every window has one event."""
    return not any(summary.get(name) for name in ("uploads_lost", "missing", "twice", "unexpected"))


async def _run(options: LoadOptions, console: Console) -> dict[str, Any]:
    run = secrets.token_hex(3)
    make_fleet = _prepare(options, run)
    host, port = _parse_url(options.url)
    began_cpu_s = _cpu_s()
    fleet = make_fleet(system_clock() + LEAD_MS)
    sending = OpenLoopSender(fleet, host, port, options.steps)
    check = EventCheck(fleet, options.kafka, options.topic_prefix) if options.kafka else None
    async with asyncio.TaskGroup() as group:
        background = [group.create_task(_print_progress(sending.sent, check.seen if check else None, console))]
        if check:
            ready = asyncio.Event()
            background.append(group.create_task(check.run(ready)))
            await ready.wait()
        try:
            await sending.run(min(options.connections, len(fleet)))
        except OSError as error:
            raise CommandError(f"{options.url} does not answer: {error}") from error
        sending_cpu_s = _cpu_s() - began_cpu_s
        if check:
            await _wait_for_events(check, options.steps)
        for task in background:
            task.cancel()
    summary = _summarise(options, sending.sent, check, sending_cpu_s)
    if options.summary:
        options.summary.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def _prepare(options: LoadOptions, run: str) -> Callable[[int], Fleet]:
    """Prepare everything but the start time, because 20,000 tokens take a second."""
    sources = find_sources(f"recordings={options.recordings}")
    templates = make_templates((source.read() for source in sources), session=run)
    if not templates:
        raise CommandError(f"{options.recordings}: no recording has 5 s of all three modalities")
    host, port = _parse_url(options.url)
    users = [f"load-{run}-{number}" for number in range(options.watches)]
    request_heads = [request_head(host, port, make_token(options.jwt_key, user)) for user in users]
    return lambda begin_ms: Fleet(users, request_heads, templates, begin_ms, options.ramp_steps, options.phase_per_user)


def _parse_url(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise CommandError(f"--url: {url!r} is not http://HOST:PORT")
    return parts.hostname, parts.port or 80


async def _wait_for_events(check: EventCheck, steps: int) -> None:
    seen, since_s = -1, 0.0
    loop = asyncio.get_running_loop()
    while check.verdict(steps).missing:
        if check.seen.events != seen:
            seen, since_s = check.seen.events, loop.time()
        elif loop.time() - since_s > SILENCE_S:
            return
        await asyncio.sleep(0.5)
    # For duplicates, which may come later.
    await asyncio.sleep(SETTLE_S)


async def _print_progress(sent: SendResults, seen: ReceivedEvents | None, console: Console) -> None:
    """Print a line about the last seconds, every ``LINE_S``."""
    accepted = events = 0
    while True:
        await asyncio.sleep(LINE_S)
        uploads = np.array(sent.latency_ms[accepted:])
        line = f"{sent.offered} uploads offered, {len(uploads) / LINE_S:.0f}/s accepted{_percentiles(uploads)}"
        accepted = sent.accepted
        if seen:
            latency = np.array(seen.latency_ms[events:])
            events = seen.events
            line += f"; {len(latency) / LINE_S:.0f} events/s{_percentiles(latency)}"
        console.print(line, soft_wrap=True)


def _percentiles(latency_ms: np.ndarray[Any, Any]) -> str:
    if not len(latency_ms):
        return ""
    p50, p99 = np.percentile(latency_ms, (50, 99)) / 1000
    return f", p50 {p50:.3f} s p99 {p99:.3f} s"


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _summarise(options: LoadOptions, sent: SendResults, check: EventCheck | None, cpu_s: float) -> dict[str, Any]:
    seconds = (options.steps + options.ramp_steps - 1) * PERIOD_MS / 1000
    summary: dict[str, Any] = {
        "watches": options.watches,
        "seconds": seconds,
        "uploads_offered": sent.offered,
        "uploads_accepted": sent.accepted,
        "uploads_lost": len(sent.lost),
        "retries": sent.retries,
        "answers": {str(status): count for status, count in sorted(sent.statuses.items())},
        "offered_per_s": round(sent.offered / seconds, 1),
        "accepted_per_s": round(sent.accepted / seconds, 1),
        "upload_latency_s": _latency_s(sent.latency_ms),
        "sent_late_max_s": round(sent.late_ms / 1000, 3),
        "load_cpu_us_per_upload": round(cpu_s / max(1, sent.offered) * 1e6, 1),
    }
    if check:
        summary |= {
            "events": check.seen.events,
            **asdict(check.verdict(options.steps)),
            "event_latency_s": _latency_s(check.seen.latency_ms),
            "classified_after_s": _latency_s(check.seen.classified_ms),
            "event_latency_s_by_minute": _by_minute(check.seen),
        }
    return summary


def _latency_s(latency_ms: Any) -> dict[str, float]:
    values = np.asarray(latency_ms) / 1000
    return {f"p{p}": round(float(np.percentile(values, p)), 3) for p in (50, 95, 99)} if len(values) else {}


def _by_minute(seen: ReceivedEvents) -> list[dict[str, float]]:
    minute = np.asarray(seen.read_ms) // 60_000
    latency_ms = np.asarray(seen.latency_ms)
    return [_latency_s(latency_ms[minute == number]) for number in np.unique(minute)]
