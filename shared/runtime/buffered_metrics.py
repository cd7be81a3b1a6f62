"""Counter and histogram of prometheus_client that add up what comes between two readings.

Theirs take a lock for each observation and walk through the buckets, about 1 us each time; an upload has seven of them.
These build on private parts of prometheus_client, which tests/shared/runtime/test_buffered_metrics.py compares with its
public ones. Observe on one thread: the event loop's.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from prometheus_client import Counter, Histogram

MAX_WAITING = 1_000
"""Observations of a histogram between two sums."""


class BufferedCounter(Counter):
    """A counter whose ``inc`` is one addition."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._waiting: float = 0

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002
        """Add ``amount``, 0 or more."""
        self._waiting += amount

    def _child_samples(self) -> Iterable[Any]:
        waiting, self._waiting = self._waiting, 0
        super().inc(waiting)
        return super()._child_samples()


class BufferedHistogram(Histogram):
    """A histogram whose ``observe`` is one append."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._waiting: list[float] = []

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002
        """Add one observation."""
        self._waiting.append(amount)
        if len(self._waiting) >= MAX_WAITING:
            self._add_up()

    def _add_up(self) -> None:
        waiting, self._waiting = self._waiting, []
        # As in Histogram.observe, a bound belongs to its bucket.
        places = np.searchsorted(self._upper_bounds, waiting, side="left")
        for bucket, count in zip(self._buckets, np.bincount(places, minlength=len(self._buckets)), strict=True):
            if count:
                bucket.inc(int(count))
        self._sum.inc(float(sum(waiting)))

    def _child_samples(self) -> Iterable[Any]:
        if self._waiting:
            self._add_up()
        return super()._child_samples()
