"""A causal filter over the probabilities of consecutive windows: what one window cannot tell, a few can.

The forward pass of a hidden Markov model whose states are the classes: a person goes on with what she does with
probability ``STAY`` for each 20 s (Rabiner 1989, "A Tutorial on Hidden Markov Models"). A network's probabilities stand
for the likelihoods, with classes alike often, as the network was trained.
"""

import numpy as np
from numpy.typing import NDArray

from shared.contracts.modality import WINDOW_MS

STAY = 0.8
"""Bouts of 100 s on average."""


def smooth_probabilities(
    start_ms: NDArray[np.int64], probabilities: NDArray[np.float64], stay: float = STAY
) -> NDArray[np.float64]:
    """Filter the windows of one device: (n,) ascending starts and (n, classes) to (n, classes), rows sum to 1.

    Row i depends on rows up to i. After a pause of dt ms the belief has faded by ``stay ** (dt / 20 s)``. Windows that
    overlap would count a sample twice: pass those that do not.
    """
    n, k = probabilities.shape
    kept = stay ** (np.diff(start_ms) / WINDOW_MS)
    smoothed = np.empty((n, k))
    belief = np.full(k, 1 / k)
    for row in range(n):
        if row:
            belief = kept[row - 1] * belief + (1 - kept[row - 1]) / k
        belief = belief * probabilities[row]
        # All zeros: the belief rules out what the window says, so the window alone decides.
        total = belief.sum()
        belief = belief / total if total > 0 else probabilities[row]
        smoothed[row] = belief
    return smoothed
