"""The same observations give the same page as those of prometheus_client."""

import random

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from shared.runtime.buffered_metrics import MAX_WAITING, BufferedCounter, BufferedHistogram

BUCKETS = (0.005, 0.25, 1.0, 2.0)


def page(counter_class, histogram_class, observe):
    registry = CollectorRegistry()
    counter = counter_class("things", "Things", ("kind",), registry=registry)
    plain = counter_class("plain", "Plain", registry=registry)
    histogram = histogram_class("seconds", "Seconds", ("stage",), buckets=BUCKETS, registry=registry)
    alone = histogram_class("alone", "Alone", buckets=(-1, 0, 1), registry=registry)
    pages = []
    for part in observe:
        for value in part:
            counter.labels("a" if value > 0.5 else "b").inc()
            counter.labels("b").inc(3)
            plain.inc(2.5)
            histogram.labels("x").observe(value)
            alone.observe(-value)
        pages.append([line for line in generate_latest(registry).decode().splitlines() if "_created" not in line])
    return pages


@pytest.mark.parametrize("size", [1, 3, MAX_WAITING - 1, MAX_WAITING, MAX_WAITING + 1, 3 * MAX_WAITING])
def test_the_page_is_the_same_at_every_reading(size):
    chance = random.Random(size)
    # Powers of two, so that sums do not depend on their order; bounds belong to their buckets.
    values = [[chance.choice((0.25, 0.5, 1.0, 2.0, 4.0)) for _ in range(size)] for _ in range(3)]
    values.append([])
    assert page(BufferedCounter, BufferedHistogram, values) == page(Counter, Histogram, values)
