"""Drift of the model's output on users from its output on people outside its training data."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.model.manifest import Reference

EVENTS = 5_000
MIN_EVENTS = 100
"""With fewer events, chance alone gives an index of 0.1 over ten bins."""
SMALLEST_SHARE = 1e-4
"""Replaces a share of 0, which has no logarithm."""


def population_stability_index(shares: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Sum (share - reference) ln(share / reference) over (k,) bins: 0 if equal, above 0.25 another population.

    S. Siddiqi, "Credit Risk Scorecards", 2006.

    >>> round(population_stability_index(np.array([0.5, 0.5]), np.array([0.25, 0.75])), 4)
    0.2747
    """
    p, q = np.maximum(shares, SMALLEST_SHARE), np.maximum(reference, SMALLEST_SHARE)
    return float(np.sum((p - q) * np.log(p / q)))


class Drift:
    """Comparison of the last events with a bundle's reference; NaN without a reference or with too few events."""

    def __init__(self, reference: Reference | None, events: int = EVENTS) -> None:
        self._reference = reference
        self._seen = 0
        self._answers = np.zeros(events, dtype=np.int64)
        self._tenths = np.zeros(events, dtype=np.int64)
        if reference is not None:
            self._number_of = {name: number for number, name in enumerate(reference.activities)}
            self._activity_shares = np.array(list(reference.activities.values()))
            self._deciles = np.array(reference.confidence_deciles)
            self._confidence_shares = np.array(reference.confidence_shares)

    def add(self, activities: Sequence[str], confidences: Sequence[float]) -> None:
        """Add the events of one batch."""
        if self._reference is None:
            return
        places = (self._seen + np.arange(len(activities))) % len(self._answers)
        self._answers[places] = [self._number_of[activity] for activity in activities]
        self._tenths[places] = np.searchsorted(self._deciles, confidences, side="right")
        self._seen += len(activities)

    def class_psi(self) -> float:
        """Compute the index of the activities, including "unknown"."""
        return self._psi(self._answers, self._activity_shares) if self._reference else math.nan

    def confidence_psi(self) -> float:
        """Compute the index of the confidence, over the deciles of the reference."""
        return self._psi(self._tenths, self._confidence_shares) if self._reference else math.nan

    def _psi(self, bins: NDArray[np.int64], reference: NDArray[np.float64]) -> float:
        n = min(self._seen, len(bins))
        if n < MIN_EVENTS:
            return math.nan
        shares = np.bincount(bins[:n], minlength=len(reference)) / n
        return population_stability_index(shares, reference)
