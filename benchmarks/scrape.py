"""Values from a service's /metrics page: quantiles of a histogram between two times, the largest value of a gauge."""

from collections.abc import Iterable, Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

Buckets = Mapping[float, float]
"""Observations at or below each upper bound."""


def read_page(url: str) -> str:
    """Read /metrics of a service; httpx.HTTPError when it does not answer."""
    return httpx.get(f"{url}/metrics", timeout=5, trust_env=False).raise_for_status().text


def buckets(text: str, name: str, **labels: str) -> dict[float, float]:
    """Cumulative buckets of a histogram, over the children with these labels; empty without one."""
    found: dict[float, float] = {}
    for sample in _samples(text, f"{name}_bucket", labels):
        bound = float(sample[0]["le"])
        found[bound] = found.get(bound, 0.0) + sample[1]
    return found


def gauge_max(text: str, name: str) -> float:
    """The largest value over all children; 0 without one."""
    return max((value for _, value in _samples(text, name, {})), default=0.0)


def quantile(share: float, begin: Buckets, end: Buckets) -> float:
    """Quantile of the observations in between, as PromQL's histogram_quantile computes it; NaN without observations."""
    counts = [(bound, end[bound] - begin.get(bound, 0.0)) for bound in sorted(end)]
    if not counts or counts[-1][1] <= 0:
        return float("nan")
    rank, below, lower = share * counts[-1][1], 0.0, 0.0
    for bound, count in counts:
        if count >= rank:
            return lower if bound == float("inf") else lower + (bound - lower) * (rank - below) / (count - below)
        below, lower = count, bound
    return lower


def _samples(text: str, name: str, labels: Mapping[str, str]) -> Iterable[tuple[dict[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                yield sample.labels, sample.value
