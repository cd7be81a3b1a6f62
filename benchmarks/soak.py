"""Growth of memory over time: ``python -m benchmarks.soak --watches 2000 --minutes 30`` writes build/soak.json.

Resident memory of every process of the pipeline under `gaitway load`, every 15 s. Growth is the slope of a straight
line through the second half of the run: by then buffers, caches and Kafka's heap have reached their size.
"""

import argparse
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.stages.end_to_end import RAMP_S, make_load_options
from gaitway.demo.stack import EMBEDDED, running_stack
from gaitway.load.run import passed, run_load
from gaitway.paths import DEFAULT_MODEL

OUT = Path("build/soak.json")
EVERY_S = 15.0


def soak(watches: int, minutes: float, console: Console) -> dict[str, Any]:
    """The load's summary, the samples (MB by process) and the growth in MB per hour."""
    with running_stack(EMBEDDED, EMBEDDED, model=DEFAULT_MODEL, grace_s=60.0) as stack:
        pids = {**stack.pids, "load": psutil.Process().pid}
        at_s: list[float] = []
        rss_mb: dict[str, list[float]] = {name: [] for name in pids}
        over = threading.Event()

        def sample() -> None:
            began_s = time.perf_counter()
            while not over.wait(EVERY_S):
                at_s.append(time.perf_counter() - began_s)
                for name, pid in pids.items():
                    rss_mb[name].append(psutil.Process(pid).memory_info().rss / 1e6)

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            summary = run_load(make_load_options(stack, watches, minutes, RAMP_S), console)
        finally:
            over.set()
            sampler.join()
    growth = {name: growth_mb_per_hour(at_s, values) for name, values in rss_mb.items()}
    return {"watches": watches, "minutes": minutes, "at_s": at_s, "rss_mb": rss_mb, "growth": growth, "load": summary}


def growth_mb_per_hour(at_s: list[float], rss_mb: list[float]) -> float:
    """Slope through the second half of the samples; NaN for fewer than four."""
    half = len(at_s) // 2
    if half < 2:
        return float("nan")
    return float(np.polyfit(np.array(at_s[half:]) / 3600, rss_mb[half:], 1)[0])


def main() -> int:
    """Exit code 0 when no event was lost or duplicated."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--watches", type=int, default=2_000)
    parser.add_argument("--minutes", type=float, default=30.0)
    options = parser.parse_args()
    console = Console(width=140)
    result = soak(options.watches, options.minutes, console)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    shown = Table("process", "after a quarter", "half", "at the end, MB", "growth in the second half, MB/h")
    for name, values in result["rss_mb"].items():
        quarters = [values[len(values) // 4], values[len(values) // 2], values[-1]]
        shown.add_row(name, *(f"{value:.0f}" for value in quarters), f"{result['growth'][name]:+.0f}")
    console.print(shown)
    return 0 if passed(result["load"]) else 1


if __name__ == "__main__":
    sys.exit(main())
