"""The whole pipeline under `gaitway load`: cost of each process, latency of events, how many watches fit.

    python -m benchmarks.stages.end_to_end --watches 1000,5000,10000 --minutes 1.5

Broker, Redis, the three services and the load generator share this machine. CPU is taken while all
watches are there and fill windows.
"""

import argparse
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.measure import cpu_seconds
from gaitway.demo.stack import EMBEDDED, Stack, running_stack
from gaitway.load.library import PERIOD_MS
from gaitway.load.run import LoadOptions, passed, run_load

MODEL = Path("models/default")
RECORDINGS = Path("examples/recordings")
FLEETS = (1_000, 5_000, 10_000, 15_000, 20_000)
GOAL_P99_S = 1.0
RAMP_S = 30.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """One fleet's run. ``cores`` and ``rss_mb``: by process; ``summary``: what `gaitway load` says."""

    watches: int
    cores: dict[str, float]
    rss_mb: dict[str, float]
    summary: dict[str, Any]

    @property
    def us_per_upload(self) -> dict[str, float]:
        """CPU of each process for one upload, in microseconds."""
        uploads_per_s = self.watches * 1000 / PERIOD_MS
        return {name: cores / uploads_per_s * 1e6 for name, cores in self.cores.items()}

    @property
    def cpu_s_per_1000_watch_minutes(self) -> float:
        """Of all processes together."""
        return sum(self.cores.values()) * 60 * 1000 / self.watches

    @property
    def p99_s(self) -> float:
        """From the gateway's receipt of a window's last sample to the event in a consumer's hands."""
        return float(self.summary.get("event_latency_s", {}).get("p99", float("inf")))

    @property
    def holds(self) -> bool:
        """Nothing lost, nothing twice, and in time."""
        return passed(self.summary) and self.p99_s <= GOAL_P99_S


def run(
    console: Console,
    fleets: Sequence[int] = FLEETS,
    minutes: float = 1.5,
    features_workers: int = 1,
    ramp_s: float = RAMP_S,
) -> list[Fleet]:
    """Every fleet on a stack of its own."""
    found = []
    for watches in fleets:
        console.print(f"{watches} watches for {minutes:g} min", soft_wrap=True)
        with running_stack(EMBEDDED, EMBEDDED, model=MODEL, linger_s=60.0, features_workers=features_workers) as stack:
            found.append(_run_fleet(stack, watches, minutes, ramp_s, console))
        last = found[-1]
        console.print(f"p99 {last.p99_s:.2f} s, {sum(last.us_per_upload.values()):.0f} us an upload", soft_wrap=True)
    return found


def load_options(stack: Stack, watches: int, minutes: float, ramp_s: float) -> LoadOptions:
    """What `gaitway load` is asked for on a stack."""
    return LoadOptions(
        url=stack.url,
        jwt_key=stack.jwt_key,
        kafka=stack.kafka,
        topic_prefix=stack.topic_prefix,
        watches=watches,
        minutes=minutes,
        connections=256,
        recordings=RECORDINGS,
        ramp_s=ramp_s,
    )


def _run_fleet(stack: Stack, watches: int, minutes: float, ramp_s: float, console: Console) -> Fleet:
    pids = stack.pids | {"load": psutil.Process().pid}
    taken: list[tuple[float, dict[str, float], dict[str, float]]] = []

    def sample() -> None:
        taken.append(
            (
                time.perf_counter(),
                {name: cpu_seconds(pid) if name != "load" else _own_cpu_s() for name, pid in pids.items()},
                {name: psutil.Process(pid).memory_info().rss / 1e6 for name, pid in pids.items()},
            )
        )

    # Windows are filled 20 s after the last watch has joined; the first one leaves after ``minutes``.
    timers = [threading.Timer(after_s, sample) for after_s in (ramp_s + 25, minutes * 60 - 1)]
    for timer in timers:
        timer.start()
    try:
        summary = run_load(load_options(stack, watches, minutes, ramp_s), console)
    finally:
        for timer in timers:
            timer.cancel()
    (begin_s, begin, _), (end_s, end, rss_mb) = taken
    cores = {name: (end[name] - begin[name]) / (end_s - begin_s) for name in pids}
    return Fleet(watches, cores, rss_mb, summary)


def _own_cpu_s() -> float:
    times = psutil.Process().cpu_times()
    return times.user + times.system


def table(fleets: Sequence[Fleet]) -> Table:
    """One line per fleet."""
    names = list(fleets[0].cores)
    shown = Table(
        "watches", "uploads/s", *(f"{name}, us" for name in names), "in all, us", "p50", "p99", "lost", "twice"
    )
    for fleet in fleets:
        costs, latency = fleet.us_per_upload, fleet.summary.get("event_latency_s", {})
        shown.add_row(
            str(fleet.watches),
            f"{fleet.summary['accepted_per_s']:.0f}",
            *(f"{costs[name]:.0f}" for name in names),
            f"{sum(costs.values()):.0f}",
            *(f"{latency.get(name, float('nan')):.2f} s" for name in ("p50", "p99")),
            str(fleet.summary["missing"]),
            str(fleet.summary["twice"]),
        )
    return shown


def main() -> None:
    """Some fleets, one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--watches", default=",".join(map(str, FLEETS)))
    parser.add_argument("--minutes", type=float, default=1.5)
    parser.add_argument("--features-workers", type=int, default=1)
    parser.add_argument("--ramp-s", type=float, default=RAMP_S, help="over which the watches join")
    options = parser.parse_args()
    console = Console(width=160)
    watches = [int(n) for n in options.watches.split(",")]
    fleets = run(console, watches, options.minutes, options.features_workers, options.ramp_s)
    console.print(table(fleets))


if __name__ == "__main__":
    main()
