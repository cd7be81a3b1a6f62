"""One chaos run: watches replay, faults come down on the services, the checker verifies what came of it."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from shared.contracts.token import make_token
from tests.chaos.checker import Rules, Verdict, check
from tests.chaos.faults import Executor
from tests.chaos.history import read_events, read_uploads, write_lines
from tests.chaos.misbehaving_watches import Body, Client, Manners, Watch, true_times, whole_cells
from tests.chaos.network import NumpyNetwork
from tests.chaos.pipeline import HOP_MS, JWT_KEY, SHADOW_TOPIC, Pipeline, Tail, all_events
from tests.chaos.rollout import STEPS, RollOutOperator, make_rollout
from tests.chaos.schedule import KINDS, SESSION_TIMEOUT_MS, plan
from tests.chaos.upload_patterns import REFUSED_NUMBERS, TEMPERS
from training.datasets import read_recording

PROJECT = Path(__file__).resolve().parents[2]
RECORDINGS = PROJECT / "examples" / "recordings"
MODEL = PROJECT / "models" / "gaitway-cnn"
WITH_GAPS = "garmin-1"
"""The recording whose gaps are part of the replay."""
SPAN_MS = 95_000
"""Device time that one upload advances a watch by, at most: those that hold back skip up to 1000 s a minute."""
SPARE_MS = 4 * 3_600_000
"""Device time for a run that takes longer than planned, until its faults are done."""
SETTLE_S = 120.0
LAST_STEP_S = 20.0
"""Before the end: a step begins no later, unless the roll-out is not complete."""
FINISH_S = 60.0
HEART_RATES = ("sparse heart rate", "implausible")
"""Tempers of watches whose recording must have a heart rate."""
MIN_TIMED = 0.8
"""Of all events: a broker that is away hides some until it is back, not most."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is; ``only`` restricts the kinds of faults.

    ``seconds``: that it takes, or longer until so many ``faults`` are done.
    """

    seconds: float
    seed: int
    folder: Path
    watches: int = 50
    period_s: float = 2.0
    workers: int = 2
    brokers: int = 1
    grace_s: float = 45.0
    inject_fault: str = ""
    only: tuple[str, ...] = ()
    faults: int = 0

    @property
    def rolls_out(self) -> bool:
        """Whether the run goes on until a shadow has been promoted and rolled back."""
        return not self.inject_fault


@dataclass(slots=True)
class Result:
    """What came of it."""

    options: Options
    verdict: Verdict
    executor: Executor
    operator: RollOutOperator
    counts: Counter[str]
    uploads_accepted: int
    events: int
    events_of: Counter[str]
    shadow_events: int
    events_timed: int
    seconds: float
    unsettled: str
    surprises: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Why the run does not pass; empty when it does."""
        verdict = self.verdict
        found = [
            f"{len(findings)} {name}"
            for name, findings in (
                ("lost", verdict.lost),
                ("twice", verdict.twice),
                ("wrong", verdict.wrong),
                ("wrong of the shadow", verdict.shadow),
            )
            if findings
        ]
        found += self.operator.failures
        if self.options.rolls_out and (len(self.events_of) < 2 or not self.shadow_events):
            found.append(f"the roll-out proves nothing: events {dict(self.events_of)}, shadow {self.shadow_events}")
        found += [f"a fault did not bite: {done}" for done in self.executor.done if done.missing]
        found += [f"ended by itself: {what}" for what in (*self.executor.surprises, *self.surprises)]
        if self.unsettled:
            found.append(self.unsettled)
        if self.events_timed < MIN_TIMED * self.events:
            found.append(f"the longest stall is not known: {self.events_timed} of {self.events} events were timed")
        if not verdict.windows_expected or not verdict.baselines_checked:
            found.append("nothing was expected: the run proves nothing")
        return found

    def summary(self) -> dict[str, Any]:
        """For build/chaos.json."""
        return {
            "seed": self.options.seed,
            "inject_fault": self.options.inject_fault or None,
            "watches": self.options.watches,
            "brokers": self.options.brokers,
            "faults": dict(sorted(Counter(done.fault.kind for done in self.executor.done).items())),
            "broker_restarts": self.executor.broker_restarts,
            "client_faults": {
                name: self.counts[name] for name in ("repeated", "hung up", "cut", "given up", "refused")
            },
            "uploads_accepted": self.uploads_accepted,
            "windows_expected": self.verdict.windows_expected,
            "windows_uncertain": self.verdict.windows_uncertain,
            "events": self.events,
            "events_of": dict(sorted(self.events_of.items())),
            "shadow_events": self.shadow_events,
            "rollout_steps": dict(sorted(Counter(step.name for step in self.operator.steps).items())),
            "events_timed": self.events_timed,
            "lost": len(self.verdict.lost),
            "twice": len(self.verdict.twice),
            "wrong": len(self.verdict.wrong),
            "shadow_wrong": len(self.verdict.shadow),
            "baselines_checked": self.verdict.baselines_checked,
            "longest_stall_s": self.verdict.longest_stall_s,
            "seconds": round(self.seconds, 1),
            "failures": self.failures,
        }


async def run(options: Options) -> Result:
    """Run it and verify; StackError when a part does not start at all."""
    began_s = time.monotonic()
    options.folder.mkdir(parents=True, exist_ok=True)
    rollout, candidate = make_rollout(MODEL, options.folder / "models")
    pipeline = Pipeline(
        options.folder,
        rollout=rollout,
        brokers=options.brokers,
        workers=options.workers,
        grace_s=options.grace_s,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        inject_fault=options.inject_fault,
    )
    operator = RollOutOperator(pipeline, rollout, candidate, options.seed)
    uploads_path, events_path = options.folder / "uploads.jsonl", options.folder / "events.jsonl"
    shadow_path = options.folder / "shadow_events.jsonl"
    await asyncio.to_thread(pipeline.__enter__)
    try:
        with uploads_path.open("w") as log:
            watches = make_watches(options, pipeline.services["ingest"].port, log)
            tail = Tail(pipeline)
            reading = asyncio.create_task(tail.run())
            executor = await _hurt(pipeline, operator, watches, options)
            unsettled = await pipeline.settle(options.grace_s + SETTLE_S)
            await asyncio.sleep(1)
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
        write_lines(events_path, await all_events(pipeline, tail.read_ms))
        write_lines(shadow_path, await all_events(pipeline, {}, SHADOW_TOPIC))
        surprises = pipeline.ended_by_themselves()
    finally:
        await asyncio.to_thread(pipeline.__exit__)
    uploads, events, shadow_events = read_uploads(uploads_path), read_events(events_path), read_events(shadow_path)
    losses = tuple(done.began_ms for done in executor.done if KINDS[done.fault.kind].loses_baselines)
    rules = Rules(HOP_MS, options.grace_s * 1000, losses)
    networks = {network.name: network for network in map(NumpyNetwork, (MODEL, candidate))}
    verdict = check(uploads, events, networks, rules, shadow_events)
    return Result(
        options,
        verdict,
        executor,
        operator,
        sum((watch.counts for watch in watches), Counter()),
        sum(upload.accepted_ms is not None for upload in uploads),
        len(events),
        Counter(event.data["model"] for event in events),
        len(shadow_events),
        len(tail.read_ms),
        time.monotonic() - began_s,
        unsettled,
        surprises,
    )


async def _hurt(pipeline: Pipeline, operator: RollOutOperator, watches: list[Watch], options: Options) -> Executor:
    """Replay, roll out and do the faults, until the time is over and every upload that was begun has its answer."""
    executor = Executor(
        pipeline, lambda: sum(w.counts["attempts"] for w in watches), lambda: sum(w.in_flight for w in watches)
    )
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        sending = [group.create_task(watch.run(options.period_s, over)) for watch in watches]
        end_s = time.monotonic() + options.seconds
        least = len(STEPS) if options.rolls_out else 0
        rolling_out = group.create_task(
            operator.run(lambda steps: time.monotonic() > end_s - LAST_STEP_S and steps >= least)
        )
        for fault in plan(options.seed, options.workers, options.brokers, options.only):
            is_over = time.monotonic() + fault.after_s + fault.for_s > end_s
            if is_over and len(executor.done) >= options.faults:
                break
            await asyncio.sleep(fault.after_s)
            await executor.run(fault)
        await asyncio.sleep(end_s - time.monotonic())
        await executor.revive()
        await rolling_out
        over.set()
        await asyncio.wait(sending, timeout=FINISH_S)
        for task in sending:
            task.cancel()
    return executor


def make_watches(options: Options, port: int, log: Any) -> list[Watch]:
    """The watches, of every temper in turn."""
    random = Random(options.seed)
    recordings = {path.name: read_recording(path) for path in sorted(RECORDINGS.iterdir()) if path.is_dir()}
    with_gaps = true_times(recordings.pop(WITH_GAPS))
    cells: list[list[Body]] = [whole_cells(recording) for recording in recordings.values()]
    with_heart_rate = [bodies for bodies in cells if "heart_rate" in bodies[0]]
    uploads = options.seconds / options.period_s
    start_ms = int(time.time() * 1000 - uploads * SPAN_MS - SPARE_MS) // HOP_MS * HOP_MS
    watches = []
    for number in range(options.watches):
        temper = list(TEMPERS)[number % len(TEMPERS)]
        own = Random(random.random())
        bodies = with_gaps if temper == "with gaps" else own.choice(with_heart_rate if temper in HEART_RATES else cells)
        user = f"{temper.replace(' ', '-')}-{number}"
        begin_ms = start_ms + own.randrange(360) * HOP_MS
        for device in ("left", "right") if temper == "two watches" else ("",):
            own = Random(random.random())
            watches.append(
                Watch(
                    user,
                    Client(port, make_token(JWT_KEY, user)),
                    Manners(abandon=0.0 if temper == "calm" else 0.05),
                    TEMPERS[temper]([body | {"device": device or body["device"]} for body in bodies], begin_ms, own),
                    own,
                    log,
                    to_be_refused=REFUSED_NUMBERS if temper == "hostile" else (),
                )
            )
    return watches


def write_summary(result: Result, path: Path) -> None:
    """Write build/chaos.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result.summary(), indent=2) + "\n")
