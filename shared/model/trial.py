"""Trial of a loaded bundle, before a window of a user reaches it."""

import time

import numpy as np

from shared.contracts.errors import BundleError
from shared.contracts.modality import MODALITIES
from shared.contracts.window import FeatureArrays
from shared.model.bundle import LoadedModel

BATCH = 32


def try_out(model: LoadedModel, windows: int = 1) -> None:
    """Run the model on valid windows of zeros.

    Raises:
        BundleError: it fails, or gives a probability that is not finite.
    """
    features: FeatureArrays = {m.name: np.zeros(m.feature_shape, dtype=np.float16) for m in MODALITIES}
    masks = dict.fromkeys(features, True)
    try:
        answer = model.probabilities([features] * windows, [masks] * windows, [(0, 0, 0)] * windows)
    except Exception as error:
        raise BundleError(f"the model fails on a window of zeros: {error!r}") from error
    if not np.isfinite(answer).all():
        raise BundleError("the model gives no finite probability for a window of zeros")


def measure_window_s(model: LoadedModel, repeats: int = 5) -> float:
    """Return the time per window in a batch of ``BATCH``, in s: the shortest of some batches; raises BundleError."""
    shortest_s = float("inf")
    for _ in range(repeats):
        began_s = time.perf_counter()
        try_out(model, BATCH)
        shortest_s = min(shortest_s, time.perf_counter() - began_s)
    return shortest_s / BATCH
