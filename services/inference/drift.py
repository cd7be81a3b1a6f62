"""How far what the model says of users has moved from what it said of people whom it did not know in training."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.model.manifest import Reference

EVENTS = 5_000
MIN_EVENTS = 100
"""Below, chance alone gives an index of 0.1 over ten bins."""
SMALLEST_SHARE = 1e-4
"""Stands in for a share of 0, which has no logarithm."""


def population_stability_index(shares: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Sum of (share - reference) ln(share / reference) over (k,) bins: 0 for the same, above 0.25 another population.

    S. Siddiqi, "Credit Risk Scorecards", 2006.

    >>> round(population_stability_index(np.array([0.5, 0.5]), np.array([0.25, 0.75])), 4)
    0.2747
    """
    p, q = np.maximum(shares, SMALLEST_SHARE), np.maximum(reference, SMALLEST_SHARE)
    return float(np.sum((p - q) * np.log(p / q)))


class Drift:
    """The last events against a bundle's reference; without one, or with too few events, both indices are NaN."""

    def __init__(self, reference: Reference | None, events: int = EVENTS) -> None:
        self._reference = reference
        self._seen = 0
        self._answers = np.zeros(events, dtype=np.int64)
        self._tenths = np.zeros(events, dtype=np.int64)
        if reference is not None:
            self._number_of = {name: number for number, name in enumerate(reference.activities)}
            self._shares = np.array(list(reference.activities.values()))
            self._deciles = np.array(reference.confidence_deciles)
            self._between = np.array(reference.confidence_shares)

    def add(self, activities: Sequence[str], confidences: Sequence[float]) -> None:
        """The events of one batch."""
        if self._reference is None:
            return
        places = (self._seen + np.arange(len(activities))) % len(self._answers)
        self._answers[places] = [self._number_of[activity] for activity in activities]
        self._tenths[places] = np.searchsorted(self._deciles, confidences, side="right")
        self._seen += len(activities)

    def class_psi(self) -> float:
        """Of the shares of the activities, "unknown" among them."""
        return self._psi(self._answers, self._shares) if self._reference else math.nan

    def confidence_psi(self) -> float:
        """Of the confidence, over the tenths of the reference."""
        return self._psi(self._tenths, self._between) if self._reference else math.nan

    def _psi(self, bins: NDArray[np.int64], reference: NDArray[np.float64]) -> float:
        n = min(self._seen, len(bins))
        if n < MIN_EVENTS:
            return math.nan
        shares = np.bincount(bins[:n], minlength=len(reference)) / n
        return population_stability_index(shares, reference)
