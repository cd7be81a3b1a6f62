"""Spans of time, joined where they touch."""

from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import NDArray

from shared.signal.resample import FloatArray


class Spans:
    """Disjoint spans [begin, end) of time in ascending order; spans at most ``bridge_ms`` apart are joined.

    An accelerometer has at most 80 of them in a window, so the cost of adding one is bounded.
    """

    __slots__ = ("_begins", "_bridge_ms", "_ends", "added")

    def __init__(self, bridge_ms: float) -> None:
        self.added = 0
        """Number of spans that were added."""
        self._bridge_ms = bridge_ms
        self._begins: list[float] = []
        self._ends: list[float] = []

    def add(self, begin_ms: float, end_ms: float) -> None:
        """Add a span and join it with those that it touches."""
        self.added += 1
        begins, ends = self._begins, self._ends
        if not ends or begin_ms > ends[-1] + self._bridge_ms:
            begins.append(begin_ms)
            ends.append(end_ms)
            return
        if begin_ms >= begins[-1]:
            # Nearly every upload begins where the previous one ends.
            ends[-1] = max(ends[-1], end_ms)
            return
        first = bisect_left(self._ends, begin_ms - self._bridge_ms)
        last = bisect_right(self._begins, end_ms + self._bridge_ms)
        if first < last:
            begin_ms, end_ms = min(begin_ms, self._begins[first]), max(end_ms, self._ends[last - 1])
        self._begins[first:last] = [begin_ms]
        self._ends[first:last] = [end_ms]

    def cover(self, begin_ms: float, end_ms: float) -> bool:
        """Whether one span reaches from ``begin_ms`` to ``end_ms``, bridged at both ends."""
        index = bisect_right(self._begins, begin_ms + self._bridge_ms) - 1
        return index >= 0 and end_ms - self._ends[index] <= self._bridge_ms

    def meet(self, begin_ms: float, end_ms: float) -> bool:
        """Whether any span overlaps [begin, end)."""
        index = bisect_right(self._ends, begin_ms)
        return index < len(self._ends) and self._begins[index] < end_ms

    def retain(self, t_ms: FloatArray) -> NDArray[np.bool_]:
        """(n,) True for the times, in ascending order, that lie in a span."""
        if not t_ms.size:
            return np.zeros(0, dtype=bool)
        near = slice(bisect_right(self._ends, t_ms[0]), bisect_right(self._begins, t_ms[-1]))
        begins = np.array([*self._begins[near], np.inf])
        return np.asarray(begins[np.searchsorted(self._ends[near], t_ms, side="right")] <= t_ms)
