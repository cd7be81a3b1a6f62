"""Graphs of Prometheus's data, as SVG; the same numbers give the same bytes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gaitway.embedded.errors import StackError
from gaitway.monitor.queries import OBJECTIVE_S

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
"""Okabe and Ito's palette, which colour-blind people can distinguish."""
POINTS = 120
MIN_WINDOW_S = 30
STAGES = ("gateway_to_window", "window_to_event", "gateway_to_event")


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """``values`` (n,) at ``minutes`` (n,) since the beginning; NaN where there is no value."""

    labels: dict[str, str]
    minutes: NDArray[np.float64]
    values: NDArray[np.float64]


Ask = Callable[[str], list[Series]]


def draw_all(url: str, folder: Path, begin_s: float, end_s: float, interval_s: int) -> list[Path]:
    """Draw all graphs of this period (Unix s) into ``folder``; returns their paths.

    Raises:
        StackError: Prometheus does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ask = partial(query_range, url, begin_s, end_s)
    window = f"[{max(MIN_WINDOW_S, 4 * interval_s)}s]"
    return [
        draw(folder / f"{name}.svg", ask, window)
        for name, draw in (
            ("latency", _draw_latency),
            ("gaps", _draw_gaps),
            ("classes", _draw_classes),
            ("lag", _draw_lag),
        )
    ]


def query_range(url: str, begin_s: float, end_s: float, expression: str) -> list[Series]:
    """Evaluate an expression at 120 points in time; one series per label set."""
    step_s = max(1.0, (end_s - begin_s) / POINTS)
    params: dict[str, Any] = {"query": expression, "start": begin_s, "end": end_s, "step": step_s}
    try:
        answer = httpx.get(f"{url}/api/v1/query_range", params=params, timeout=10.0, trust_env=False).json()
    except (httpx.HTTPError, ValueError) as error:
        raise StackError(f"Prometheus does not answer: {error!r}") from error
    if answer["status"] != "success":
        raise StackError(f"Prometheus rejects {expression}: {answer['error']}")
    grid_s = np.arange(begin_s, end_s + step_s / 2, step_s)
    found = []
    for series in answer["data"]["result"]:
        points = np.array(series["values"], dtype=np.float64)
        values = np.full(len(grid_s), np.nan)
        values[np.clip(np.rint((points[:, 0] - begin_s) / step_s).astype(int), 0, len(grid_s) - 1)] = points[:, 1]
        found.append(Series(series["metric"], (grid_s - begin_s) / 60, values))
    return sorted(found, key=lambda series: sorted(series.labels.items()))


def _draw_latency(path: Path, ask: Ask, window: str) -> Path:
    figure, axes = _make_figure("Event latency by stage: p50 thin, p99 thick", "s")
    for stage, colour in zip(STAGES, COLOURS, strict=False):
        buckets = f'sum by (le) (rate(gaitway_event_latency_seconds_bucket{{stage="{stage}"}}{window}))'
        for quantile, width in ((0.5, 1.0), (0.99, 2.2)):
            for series in ask(f"histogram_quantile({quantile}, {buckets})"):
                label = stage.replace("_", " ") if quantile > 0.5 else None
                axes.plot(series.minutes, series.values, color=colour, linewidth=width, label=label)
    axes.axhline(OBJECTIVE_S, color="grey", linestyle="--", linewidth=1.0, label="objective, p99")
    axes.set_yscale("log")
    return _save(figure, axes, path)


def _draw_gaps(path: Path, ask: Ask, window: str) -> Path:
    figure, axes = _make_figure("Gaps: time without usable data, by modality and reason", "s per s, all watches")
    _draw_stack(axes, ask(f"sum by (modality, reason) (rate(gaitway_features_gap_seconds_total{window})) > 0"))
    return _save(figure, axes, path)


def _draw_classes(path: Path, ask: Ask, window: str) -> Path:
    figure, axes = _make_figure("What the model sees: share of events by activity", "share")
    rate = f"rate(gaitway_inference_events_total{window})"
    _draw_stack(axes, ask(f"sum by (activity) ({rate}) / ignoring (activity) group_left () sum({rate}) > 0"))
    axes.set_ylim(0, 1)
    return _save(figure, axes, path)


def _draw_lag(path: Path, ask: Ask, _window: str) -> Path:
    figure, axes = _make_figure("Consumers: how far behind, and since when without progress (dashed)", "s")
    for metric, style in (("gaitway_consumer_lag_seconds", "-"), ("gaitway_partition_progress_age_seconds", "--")):
        for number, series in enumerate(ask(f"max by (topic) ({metric})")):
            label = series.labels["topic"] if style == "-" else None
            axes.plot(series.minutes, series.values, style, color=COLOURS[number % len(COLOURS)], label=label)
    axes.set_ylim(bottom=0)
    return _save(figure, axes, path)


def _draw_stack(axes: Axes, found: Iterable[Series]) -> None:
    series = list(found)
    if not series:
        return
    axes.stackplot(
        series[0].minutes,
        [np.nan_to_num(one.values) for one in series],
        labels=[" ".join(one.labels.values()).replace("_", " ") for one in series],
        colors=[COLOURS[number % len(COLOURS)] for number in range(len(series))],
    )


def _make_figure(title: str, unit: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.0, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel("minutes")
    axes.set_ylabel(unit)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _save(figure: Figure, axes: Axes, path: Path) -> Path:
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    with mpl.rc_context({"svg.hashsalt": "gaitway", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    return path
