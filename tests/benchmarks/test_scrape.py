"""Reading a /metrics page: quantiles by hand-computed values."""

import math

import pytest

from benchmarks.scrape import buckets, gauge_max, quantile

PAGE = """\
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.5",stage="a"} 2.0
latency_seconds_bucket{le="1.0",stage="a"} 6.0
latency_seconds_bucket{le="+Inf",stage="a"} 8.0
latency_seconds_bucket{le="0.5",stage="b"} 9.0
latency_seconds_bucket{le="1.0",stage="b"} 9.0
latency_seconds_bucket{le="+Inf",stage="b"} 9.0
# TYPE lag_seconds gauge
lag_seconds{partition="0"} 0.5
lag_seconds{partition="1"} 3.5
"""


def test_buckets_are_of_the_children_with_the_labels() -> None:
    assert buckets(PAGE, "latency_seconds", stage="a") == {0.5: 2, 1.0: 6, math.inf: 8}
    assert buckets(PAGE, "latency_seconds") == {0.5: 11, 1.0: 15, math.inf: 17}


@pytest.mark.parametrize(
    ("share", "wanted"),
    [(0.125, 0.25), (0.5, 0.75), (0.75, 1.0), (0.99, 1.0)],  # above the last bound nothing more is known
)
def test_quantile_is_linear_within_a_bucket(share: float, wanted: float) -> None:
    assert quantile(share, {}, buckets(PAGE, "latency_seconds", stage="a")) == pytest.approx(wanted)


def test_quantile_is_of_what_came_in_between() -> None:
    begin = {0.5: 2.0, 1.0: 2.0, math.inf: 2.0}
    assert quantile(0.5, begin, buckets(PAGE, "latency_seconds", stage="a")) == pytest.approx(0.875)
    assert math.isnan(quantile(0.5, begin, begin))


def test_max_of_a_gauge_is_the_largest_of_its_children() -> None:
    assert gauge_max(PAGE, "lag_seconds") == 3.5
    assert gauge_max(PAGE, "none_such") == 0.0
