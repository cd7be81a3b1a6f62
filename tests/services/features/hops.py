"""Hops of made-up people, and the starts of their windows."""

import numpy as np

from shared.signal.baseline import Hop
from tests.shared.windows.signals import BASE_MS, HOP_MS

DEVICE = "watch"


def hop(seed: int, index: int) -> Hop:
    """The newest hop of the window that starts ``index`` hops after BASE_MS."""
    rng = np.random.default_rng([seed, index])
    return Hop(
        start_ms=BASE_MS + (index + 1) * HOP_MS,
        hop_ms=HOP_MS,
        mg=rng.normal([[100 * seed], [-30], [980]], rng.choice([5, 300]), (3, 250)),
        mg_covered=np.ones(250, dtype=bool),
        bpm=np.rint(rng.normal(70, 5, 10)),
        bpm_covered=np.ones(10, dtype=bool),
        resting=np.full(10, bool(rng.integers(2))),
    )


def window_start_ms(index: int) -> int:
    return BASE_MS + index * HOP_MS
