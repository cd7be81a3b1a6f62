"""The whole pipeline under `gaitway load`: cost of each process, latency of events, number of watches.

    python -m benchmarks.stages.end_to_end --watches 1000,5000,10000 --minutes 1.5

Broker, Redis, the three services and the load generator share this machine. CPU is measured while all
watches send and fill windows. Machines differ, so the CPU of an upload is also given in yardsticks: one yardstick is
what decoding and producing an upload takes without HTTP, measured on the same broker after the load.
"""

import argparse
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import scrape
from benchmarks.ingest_load import templates
from benchmarks.measure import cpu_seconds
from benchmarks.stages import ingest
from gaitway.demo.stack import EMBEDDED, Stack, running_stack
from gaitway.load.run import LoadOptions, passed, run_load
from gaitway.load.templates import PERIOD_MS
from gaitway.paths import DEFAULT_MODEL, RECORDINGS

FLEETS = (1_000, 5_000, 10_000, 15_000, 20_000)
GOAL_P99_S = 1.0
RAMP_S = 30.0
LOOK_S = 5.0
CONSUMERS = ("features", "inference")
STAGES = {
    "device_to_gateway": "ingest",
    "gateway_to_window": "features",
    "window_to_event": "inference",
    "gateway_to_event": "inference",
}
"""Each stage of gaitway_event_latency_seconds, and the service that exports it."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """One fleet's run. ``cores`` and ``rss_mb``: by process; ``summary``: that of `gaitway load`.

    ``latency_by_stage_s``: quantiles by stage of gaitway_event_latency_seconds, at the resolution of its buckets;
    ``max_lag_s``: the largest value of any partition, sampled every 5 s. ``yardstick_us``: CPU of decoding and
    producing one upload.
    """

    watches: int
    cores: dict[str, float]
    rss_mb: dict[str, float]
    latency_by_stage_s: dict[str, dict[str, float]]
    max_lag_s: dict[str, float]
    summary: dict[str, Any]
    yardstick_us: float

    @property
    def yardsticks_per_upload(self) -> float:
        """CPU of all processes together for one upload."""
        return sum(self.us_per_upload.values()) / self.yardstick_us

    @property
    def us_per_upload(self) -> dict[str, float]:
        """CPU of each process for one upload, in microseconds."""
        uploads_per_s = self.watches * 1000 / PERIOD_MS
        return {name: cores / uploads_per_s * 1e6 for name, cores in self.cores.items()}

    @property
    def cpu_s_per_1000_watch_hours(self) -> float:
        """CPU time of all processes together."""
        return sum(self.cores.values()) * 3600 * 1000 / self.watches

    @property
    def p99_s(self) -> float:
        """From the gateway's receipt of a window's last sample to the event in a consumer's hands."""
        return float(self.summary.get("event_latency_s", {}).get("p99", float("inf")))

    @property
    def holds(self) -> bool:
        """Whether nothing is lost, nothing is duplicated, and events are in time."""
        return passed(self.summary) and self.p99_s <= GOAL_P99_S


def run(
    console: Console,
    fleets: Sequence[int] = FLEETS,
    minutes: float = 1.5,
    features_workers: int = 1,
    ramp_s: float = RAMP_S,
    *,
    phase_per_user: bool = True,
) -> list[Fleet]:
    """Run every fleet on its own stack."""
    found = []
    for watches in fleets:
        console.print(f"{watches} watches for {minutes:g} min", soft_wrap=True)
        with running_stack(
            EMBEDDED,
            EMBEDDED,
            model=DEFAULT_MODEL,
            grace_s=60.0,
            features_workers=features_workers,
            phase_per_user=phase_per_user,
        ) as stack:
            options = make_load_options(stack, watches, minutes, ramp_s, phase_per_user=phase_per_user)
            found.append(_run_fleet(stack, options, console))
        last = found[-1]
        console.print(
            f"p99 {last.p99_s:.2f} s, {sum(last.us_per_upload.values()):.0f} us an upload, "
            f"{last.yardsticks_per_upload:.1f} yardsticks of {last.yardstick_us:.0f} us",
            soft_wrap=True,
        )
    return found


def make_load_options(
    stack: Stack, watches: int, minutes: float, ramp_s: float, *, phase_per_user: bool = True
) -> LoadOptions:
    """Make the options of `gaitway load` for a stack."""
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
        phase_per_user=phase_per_user,
    )


def _run_fleet(stack: Stack, options: LoadOptions, console: Console) -> Fleet:
    pids = stack.pids | {"load": psutil.Process().pid}
    taken: list[_Snapshot] = []
    max_lag_s = dict.fromkeys(CONSUMERS, 0.0)
    over = threading.Event()

    def take_snapshot() -> None:
        # Windows are filled 20 s after the last watch has joined; the first one leaves after ``minutes``.
        over.wait(options.ramp_s + 25)
        taken.append(_Snapshot.of(stack, pids))
        end_s = time.perf_counter() + options.minutes * 60 - options.ramp_s - 26
        while not over.wait(min(LOOK_S, max(0.0, end_s - time.perf_counter()))):
            taken[1:] = [_Snapshot.of(stack, pids)]
            for name in CONSUMERS:
                lag_s = scrape.gauge_max(taken[-1].pages[name], "gaitway_consumer_lag_seconds")
                max_lag_s[name] = max(max_lag_s[name], lag_s)
            if time.perf_counter() >= end_s:
                break

    looking = threading.Thread(target=take_snapshot)
    looking.start()
    try:
        summary = run_load(options, console)
    finally:
        over.set()
        looking.join()
    begin, end = taken
    cores = {name: (end.cpu_s[name] - begin.cpu_s[name]) / (end.at_s - begin.at_s) for name in pids}
    size = ingest.Size()
    limit = ingest.measure_limit(stack.kafka, templates(), size.high_rate, size.steps)
    latencies = _latency_by_stage(begin, end)
    return Fleet(options.watches, cores, end.rss_mb, latencies, max_lag_s, summary, 1e6 / limit.per_core)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """CPU of all processes and metrics of all services at one time."""

    at_s: float
    cpu_s: dict[str, float]
    rss_mb: dict[str, float]
    pages: dict[str, str]

    @classmethod
    def of(cls, stack: Stack, pids: Mapping[str, int]) -> Self:
        return cls(
            time.perf_counter(),
            {name: cpu_seconds(pid) if name != "load" else _own_cpu_s() for name, pid in pids.items()},
            {name: psutil.Process(pid).memory_info().rss / 1e6 for name, pid in pids.items()},
            {name: scrape.read_page(url) for name, url in stack.health.items()},
        )


def _latency_by_stage(begin: _Snapshot, end: _Snapshot) -> dict[str, dict[str, float]]:
    found = {}
    for stage, service in STAGES.items():
        was, now = (
            scrape.buckets(each.pages[service], "gaitway_event_latency_seconds", stage=stage) for each in (begin, end)
        )
        found[stage] = {f"p{share * 100:.0f}": scrape.quantile(share, was, now) for share in (0.5, 0.99)}
    return found


def _own_cpu_s() -> float:
    times = psutil.Process().cpu_times()
    return times.user + times.system


def table(fleets: Sequence[Fleet]) -> Table:
    """One line per fleet."""
    names = list(fleets[0].cores)
    shown = Table(
        "watches",
        "uploads/s",
        *(f"{name}, us" for name in names),
        "in all, us",
        "yardsticks",
        "p50",
        "p99",
        "lost",
        "twice",
    )
    for fleet in fleets:
        costs, latency = fleet.us_per_upload, fleet.summary.get("event_latency_s", {})
        shown.add_row(
            str(fleet.watches),
            f"{fleet.summary['accepted_per_s']:.0f}",
            *(f"{costs[name]:.0f}" for name in names),
            f"{sum(costs.values()):.0f}",
            f"{fleet.yardsticks_per_upload:.1f}",
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
    parser.add_argument("--phase-per-user", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    console = Console(width=160)
    watches = [int(n) for n in options.watches.split(",")]
    fleets = run(
        console,
        watches,
        options.minutes,
        options.features_workers,
        options.ramp_s,
        phase_per_user=options.phase_per_user,
    )
    console.print(table(fleets))


if __name__ == "__main__":
    main()
