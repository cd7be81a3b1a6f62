"""Five questions of an operator, each answered from Prometheus with a sentence and a table."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.table import Table

from gaitway.tables import PLAIN_TABLE

OBJECTIVE_S = 1.0
STUCK_AFTER_S = 30.0
MIN_SHOWN_SHARE = 5e-4
"""Smaller shares would be printed as 0.0 %."""


class Sample(Protocol):
    """One series of an answer."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Label values by name."""

    @property
    def value(self) -> float:
        """At the time of the query; may be NaN."""


Ask = Callable[[str], Iterable[Sample]]
"""Evaluates a PromQL expression now; raises StackError."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``number``: the main value of the sentence; NaN where Prometheus has none."""

    question: str
    sentence: str
    number: float
    table: Table


class Questions:
    """The five questions over the last ``range_s`` seconds."""

    def __init__(self, ask: Ask, range_s: int, hop_s: float = 10.0) -> None:
        self._ask = ask
        self._range = f"[{range_s}s]"
        self._hop_s = hop_s

    def answers(self) -> list[Answer]:
        """All of them, in the order in which somebody on call would ask."""
        return [self.latency(), self.gaps(), self.partitions(), self.model(), self.cost()]

    def latency(self) -> Answer:
        """How late are events?"""
        name = "gaitway_event_latency_seconds"
        by_stage = f"sum by (le, stage) (increase({name}_bucket{self._range}))"
        quantiles = {q: self._by("stage", f"histogram_quantile({q}, {by_stage})") for q in (0.5, 0.9, 0.99)}
        counts = self._by("stage", f"sum by (stage) (increase({name}_count{self._range}))")
        whole = f'{name}_bucket{{stage="gateway_to_event",le="{OBJECTIVE_S}"}}{self._range}'
        within = self._one(f"sum(increase({whole}))") / counts.get("gateway_to_event", math.nan)
        table = _table("stage", "p50", "p90", "p99", "measured")
        for stage in sorted(counts, key=lambda stage: quantiles[0.5].get(stage, math.nan)):
            table.add_row(stage, *(_seconds(values.get(stage)) for values in quantiles.values()), _count(counts[stage]))
        p99 = quantiles[0.99].get("gateway_to_event", math.nan)
        canary = self._by("outcome", f"sum by (outcome) (increase(gaitway_canary_windows_total{self._range}))")
        sentence = f"{within:.1%} of events within {OBJECTIVE_S:g} s of the gateway's receipt, p99 {_seconds(p99)}"
        if windows := sum(canary.values()):
            right = _count(canary.get("right", 0.0))
            sentence += f"; of the canary watch's {_count(windows)} windows {right} got a right event in time"
        return Answer("How late are events?", sentence, p99, table)

    def gaps(self) -> Answer:
        """Who has gaps, and why?"""
        total = f"increase(gaitway_features_gap_seconds_total{self._range})"
        found = sorted(self._ask(f"sum by (modality, reason) ({total}) > 0"), key=lambda one: -one.value)
        counts = {
            (one.labels["modality"], one.labels["reason"]): one.value
            for one in self._ask(f"sum by (modality, reason) (increase(gaitway_features_gaps_total{self._range}))")
        }
        watch_s = self._watch_s()
        table = _table("modality", "reason", "seconds", "per watch-hour", "records")
        for one in found:
            key = one.labels["modality"], one.labels["reason"]
            table.add_row(*key, _count(one.value), f"{one.value / watch_s * 3600:.1f} s", _count(counts.get(key, 0.0)))
        seconds = sum(one.value for one in found)
        silent = self._one("sum(gaitway_features_silent_devices)")
        worst = "{modality}, {reason}".format(**found[0].labels) if found else "none"
        sentence = f"{_count(seconds)} s without usable data in {watch_s / 3600:.1f} watch-hours, most of it: {worst}; "
        return Answer("Who has gaps, and why?", f"{sentence}{_count(silent)} devices are silent now", seconds, table)

    def partitions(self) -> Answer:
        """Is a partition stuck?"""
        ages = self._by("topic", "max by (topic) (gaitway_partition_progress_age_seconds)")
        records = self._by("topic", "sum by (topic) (gaitway_consumer_lag_records)")
        lags = self._by("topic", "max by (topic) (gaitway_consumer_lag_seconds)")
        worst_lags = self._by("topic", f"max by (topic) (max_over_time(gaitway_consumer_lag_seconds{self._range}))")
        table = _table("topic", "longest without progress", "records behind", "time behind", "at worst")
        for topic in sorted(ages):
            behind = (_seconds(values.get(topic)) for values in (lags, worst_lags))
            table.add_row(topic, _seconds(ages[topic]), _count(records.get(topic, math.nan)), *behind)
        age = max(ages.values(), default=math.nan)
        count = self._one("count(gaitway_partition_progress_age_seconds)")
        verdict = "No" if age < STUCK_AFTER_S else "Yes"
        sentence = f"{verdict}: the slowest of {_count(count)} has moved, or had nothing to read, {_seconds(age)} ago"
        return Answer("Is a partition stuck?", sentence, age, table)

    def model(self) -> Answer:
        """What does the model see?"""
        events = f"increase(gaitway_inference_events_total{self._range})"
        total = self._one(f"sum({events})")
        table = _table("of all events", "", "share")
        for label, title in (("activity", "activity"), ("modalities", "modalities"), ("model", "model")):
            shares = self._by(label, f"sum by ({label}) ({events}) / ignoring ({label}) group_left () sum({events})")
            for value, share in sorted(shares.items(), key=lambda item: -item[1]):
                if share >= MIN_SHOWN_SHARE:
                    table.add_row(title, value, f"{share:.1%}")
        confidence = "gaitway_inference_confidence_ratio"
        mean = self._one(
            f"sum(increase({confidence}_sum{self._range})) / sum(increase({confidence}_count{self._range}))"
        )
        drift = {kind: self._one(f"max(gaitway_inference_{kind}_drift_psi)") for kind in ("class", "confidence")}
        sentence = (
            f"{_count(total)} events, mean confidence {mean:.2f}; drift from the people it was measured on (PSI): "
            f"classes {drift['class']:.2f}, confidence {drift['confidence']:.2f}"
        )
        return Answer("What does the model see?", sentence, mean, table)

    def cost(self) -> Answer:
        """What does an hour cost?"""
        watch_kh = self._watch_s() / 3600 / 1000
        jobs = '{job=~"ingest|features|inference"}'
        cpu_s = self._by("job", f"sum by (job) (increase(process_cpu_seconds_total{jobs}{self._range}))")
        memory = self._by("job", f"sum by (job) (process_resident_memory_bytes{jobs})")
        table = _table("service", "CPU", "CPU per 1,000 watch-hours", "memory")
        for job in cpu_s:
            per_kh = f"{cpu_s[job] / watch_kh:,.0f} s" if watch_kh else "-"
            table.add_row(job, f"{cpu_s[job]:.1f} s", per_kh, f"{memory.get(job, math.nan) / 2**20:,.0f} MiB")
        cost = sum(cpu_s.values()) / watch_kh if watch_kh else math.nan
        sentence = (
            f"{cost:,.0f} CPU seconds per 1,000 watch-hours in the three services "
            f"({watch_kh * 1000:.1f} watch-hours seen; fewer watches share fixed costs; Kafka and Redis come on top)"
        )
        return Answer("What does an hour cost?", sentence, cost, table)

    def _watch_s(self) -> float:
        """Recorded time of all users, from the number of windows: one per hop."""
        return self._one(f"sum(increase(gaitway_features_windows_total{self._range}))") * self._hop_s

    def _one(self, expression: str) -> float:
        return next((one.value for one in self._ask(expression)), math.nan)

    def _by(self, label: str, expression: str) -> dict[str, float]:
        return {one.labels[label]: one.value for one in self._ask(expression) if not math.isnan(one.value)}


def print_answers(answers: Iterable[Answer], console: Console) -> None:
    """Print all answers in order."""
    for number, answer in enumerate(answers, 1):
        console.print(f"\n{number} {answer.question}", style="bold")
        console.print(answer.sentence, soft_wrap=True)
        console.print(answer.table)


def _table(*columns: str) -> Table:
    table = Table(**PLAIN_TABLE)
    for number, column in enumerate(columns):
        text = number == 0 or column in ("", "reason")
        table.add_column(column, justify="left" if text else "right")
    return table


def _seconds(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f} s" if value < 10 else f"{value:.0f} s"


def _count(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"
