"""Predictions of a network for windows that it was not trained on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.model.network import FusionNetwork


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutPredictions:
    """Predictions for one fold by ``network``, which was trained on other people.

    ``rows``: which windows; ``logits``: (rows, classes); ``detail_logits``: (rows, ``detail_names``), if it has them.
    """

    name: str
    rows: NDArray[np.int64]
    logits: NDArray[np.float64]
    detail_names: tuple[str, ...]
    detail_logits: NDArray[np.float64] | None
    network: FusionNetwork
