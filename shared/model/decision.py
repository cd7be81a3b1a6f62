"""What :mod:`shared.contracts.labels` does with one window's probabilities, for many windows at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.contracts.labels import OTHER, UNKNOWN, project


def decide_all(
    probabilities: NDArray[np.float64], classes: Sequence[str], abstain_below: NDArray[np.float64] | float = 0.0
) -> NDArray[np.str_]:
    """Return (n,) activities, ``UNKNOWN`` among them. ``probabilities``: (n, classes); one threshold or (n,)."""
    names = np.array([UNKNOWN if name == OTHER else name for name in (*classes, UNKNOWN)])
    sure = probabilities.max(axis=1) >= abstain_below
    return names[np.where(sure, probabilities.argmax(axis=1), len(classes))]


def project_all(
    probabilities: NDArray[np.float64], classes: Sequence[str], label_set: str
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return (n, k) sums for a smaller label set, and its k classes."""
    columns = [project({name: 1.0}, label_set) for name in classes]
    kept = tuple(dict.fromkeys(name for column in columns for name, share in column.items() if share))
    sums = np.array([[column.get(name, 0.0) for name in kept] for column in columns])
    return probabilities @ sums, kept
