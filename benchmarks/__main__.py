"""`make bench`: run every stage, print tables and write all numbers to build/bench.json."""

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Stage
from benchmarks.stages import end_to_end, features, inference, ingest, network

OUT = Path("build/bench.json")
STAGES = {"ingest": ingest.run, "features": features.run, "network": network.run, "inference": inference.run}


def main() -> int:
    """Run all stages; exit code 0 when everything is measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stages", default=",".join([*STAGES, "end_to_end"]))
    parser.add_argument("--watches", default=",".join(map(str, end_to_end.FLEETS)))
    parser.add_argument("--minutes", type=float, default=1.5, help="of each fleet, end to end")
    parser.add_argument("--ramp-s", type=float, default=end_to_end.RAMP_S, help="over which the watches join")
    options = parser.parse_args()
    chosen = options.stages.split(",")
    console = Console(width=160)
    stages = []
    for name in chosen:
        if name in STAGES:
            console.rule(name)
            stages.append(STAGES[name](options.rounds, console))
            console.print(stage_table(stages[-1]))
    fleets: list[end_to_end.Fleet] = []
    if "end_to_end" in chosen:
        console.rule("end to end")
        watches = [int(n) for n in options.watches.split(",")]
        fleets = end_to_end.run(console, watches, options.minutes, ramp_s=options.ramp_s)
        console.print(end_to_end.table(fleets))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(summary(stages, fleets), indent=2) + "\n")
    console.print(f"written: {OUT}")
    return 0


def stage_table(stage: Stage) -> Table:
    """Gaitway, the peers and the limit: per core with the spread over rounds, per second, and the ratio."""
    shown = Table("", f"{stage.unit} per core", "least and most", "per second", "ours / this", title=stage.name)
    ratios = stage.ratios()
    others = stage.peers | ({"limit": stage.limit} if stage.limit else {})
    for name, measured in {"Gaitway": stage.ours, **others}.items():
        least, most = measured.spread
        shown.add_row(
            name,
            f"{measured.per_core:,.0f}",
            f"{least:,.0f} to {most:,.0f}",
            f"{measured.per_second:,.0f}",
            f"{ratios[name]:.2f}" if name in ratios else "",
        )
    return shown


def summary(stages: list[Stage], fleets: list[end_to_end.Fleet]) -> dict[str, Any]:
    """The content of build/bench.json; throughput per core, units in ``unit``."""
    holding = [fleet for fleet in fleets if fleet.holds]
    best = max(holding, key=lambda fleet: fleet.watches, default=None)
    return {
        "machine": {"cores": os.cpu_count(), "cpu": platform.processor() or platform.machine(), "python": sys.version},
        "stages": {
            stage.name: {
                "unit": stage.unit,
                "ours": stage.ours.per_core,
                "peers": {name: peer.per_core for name, peer in stage.peers.items()},
                "limit": stage.limit.per_core if stage.limit else None,
                "ratio": stage.ratios(),
                "spread": {"ours": stage.ours.spread} | {name: peer.spread for name, peer in stage.peers.items()},
                "extra": {"ours": stage.ours.extra} | {name: peer.extra for name, peer in stage.peers.items()},
            }
            for stage in stages
        },
        "fleets": [
            {
                "watches": fleet.watches,
                "us_per_upload": fleet.us_per_upload,
                "yardstick_us": fleet.yardstick_us,
                "yardsticks_per_upload": fleet.yardsticks_per_upload,
                "cpu_s_per_1000_watch_hours": fleet.cpu_s_per_1000_watch_hours,
                "rss_mb": fleet.rss_mb,
                "latency_by_stage_s": fleet.latency_by_stage_s,
                "max_lag_s": fleet.max_lag_s,
                **fleet.summary,
            }
            for fleet in fleets
        ],
        "sustained_watches": best.watches if best else 0,
        "p99_s": best.p99_s if best else None,
    }


if __name__ == "__main__":
    sys.exit(main())
