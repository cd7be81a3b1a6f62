"""The pictures of docs/performance.md: ``python -m benchmarks.pictures docs/results/performance docs/pictures``.

The first folder holds bench.json and soak.json as `make bench` and benchmarks.soak have written them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

PROCESSES = ("kafka", "redis", "ingest", "features", "inference", "load")
COLOURS = ("#4c72b0", "#8c8c8c", "#55a868", "#c44e52", "#8172b3", "#ccb974")


def draw_cost(fleets: list[dict[str, Any]]) -> Figure:
    """CPU per upload by process, and the latency of events, over the fleet's size."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    cost, latency = figure.subplots(1, 2)
    names = [f"{fleet['watches']:,}" for fleet in fleets]
    below = [0.0] * len(fleets)
    for process, colour in zip(PROCESSES, COLOURS, strict=True):
        values = [fleet["us_per_upload"][process] for fleet in fleets]
        cost.bar(names, values, bottom=below, color=colour, label=process, width=0.6)
        below = [low + value for low, value in zip(below, values, strict=True)]
    cost.set(xlabel="watches", ylabel="µs of CPU per upload", title="What an upload costs")
    cost.legend(fontsize="small", ncols=2)
    watches = [fleet["watches"] for fleet in fleets]
    for quantile, colour in (("p50", COLOURS[0]), ("p95", COLOURS[2]), ("p99", COLOURS[3])):
        values = [fleet["event_latency_s"][quantile] for fleet in fleets]
        latency.plot(watches, values, marker="o", color=colour, label=quantile)
    latency.axhline(1.0, color="black", linewidth=0.8, linestyle="--")
    latency.set(xlabel="watches", ylabel="s", yscale="log", title="Last sample received to event in hand")
    latency.legend(fontsize="small")
    return figure


def draw_peers(stages: dict[str, Any]) -> Figure:
    """Work per core of every contestant, Gaitway being 1."""
    rows = []
    for stage, found in stages.items():
        rows.append((f"{stage}: Gaitway", 1.0, COLOURS[2]))
        rows += [(name, peer / found["ours"], COLOURS[0]) for name, peer in found["peers"].items()]
    rows.reverse()
    figure = Figure(figsize=(8, 0.32 * len(rows) + 0.8), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(rows)), [row[1] for row in rows], color=[row[2] for row in rows])
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    for place, row in enumerate(rows):
        axes.text(row[1] + 0.01, place, f"{row[1]:.2f}", va="center", fontsize="small")
    axes.set(xlabel="work per CPU second, Gaitway = 1", xlim=(0, 1.15))
    return figure


def draw_soak(soak: dict[str, Any]) -> Figure:
    """Resident memory by process over the run."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    for process, colour in zip(PROCESSES, COLOURS, strict=True):
        axes.plot([at_s / 60 for at_s in soak["at_s"]], soak["rss_mb"][process], color=colour, label=process)
    axes.set(xlabel="minutes", ylabel="resident memory, MB", ylim=(0, None), title=f"{soak['watches']:,} watches")
    axes.legend(fontsize="small", ncols=3)
    return figure


def main() -> None:
    """Write performance_cost.svg, performance_peers.svg and performance_memory.svg."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("pictures", type=Path)
    options = parser.parse_args()
    bench = json.loads((options.results / "bench.json").read_text())
    soak = json.loads((options.results / "soak.json").read_text())
    drawn = {
        "cost": draw_cost(bench["fleets"]),
        "peers": draw_peers(bench["stages"]),
        "memory": draw_soak(soak),
    }
    options.pictures.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        with mpl.rc_context({"svg.hashsalt": "gaitway", "svg.fonttype": "none"}):
            path = options.pictures / f"performance_{name}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
