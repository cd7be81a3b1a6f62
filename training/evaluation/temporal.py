"""Smoothed predictions of a cross-validation, with the order of people's activities shuffled.

A protocol has everybody do the same in the same order, with bouts of minutes. A filter must not gain from the order, so
bouts (windows of one label in a row) follow one another by chance here, without pauses. Their lengths stay those of the
protocols, longer than in life: what smoothing gains is an upper bound.
"""

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from shared.contracts.modality import WINDOW_MS
from shared.model.smoothing import STAY, smooth_probabilities
from training.metrics import Floats
from training.samples import Samples


def smooth_shuffled(samples: Samples, probabilities: Floats, *, stay: float = STAY, seed: int = 0) -> Floats:
    """(n, classes) of windows that do not overlap to the same, filtered; a person's order of bouts is shuffled."""
    rng = np.random.default_rng(seed)
    smoothed = np.empty_like(probabilities)
    for person in np.unique(samples.person):
        rows = _shuffled_rows(samples, np.flatnonzero(samples.person == person), rng)
        start_ms = np.arange(len(rows), dtype=np.int64) * WINDOW_MS
        smoothed[rows] = smooth_probabilities(start_ms, probabilities[rows], stay)
    return smoothed


def _shuffled_rows(samples: Samples, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    in_time = rows[np.argsort(samples.start_ms[rows], kind="stable")].tolist()
    bouts = [list(bout) for _, bout in groupby(in_time, key=lambda row: (samples.activity[row], samples.detail[row]))]
    return np.array([row for number in rng.permutation(len(bouts)) for row in bouts[number]], dtype=np.int64)
