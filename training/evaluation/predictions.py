"""Predictions of a network for windows that it was not trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.model.network import FusionNetwork
from training.metrics import Ints
from training.samples import Samples
from training.trainer.loop import logits


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutPredictions:
    """Predictions for one fold by ``network``, which was trained on other people.

    ``number``: of the fold or data set, from 0: with several processes they end in any order. ``rows``: which windows;
    ``logits``: (rows, classes); ``detail_logits``: (rows, ``detail_names``), if it has them.
    """

    name: str
    number: int
    rows: NDArray[np.int64]
    logits: NDArray[np.float64]
    detail_names: tuple[str, ...]
    detail_logits: NDArray[np.float64] | None
    network: FusionNetwork


def predict_by_fold(samples: Samples, folds: Sequence[HeldOutPredictions]) -> Callable[[Samples], Ints]:
    """Return a function that classifies each window with the network of the fold in which its person is tested."""
    fold_of = {
        person: number for number, fold in enumerate(folds) for person in np.unique(samples.person[fold.rows]).tolist()
    }

    def predict(windows: Samples) -> Ints:
        decide = np.empty(len(windows), dtype=np.int64)
        number = np.array([fold_of[person] for person in windows.person.tolist()])
        for each in np.unique(number).tolist():
            rows = np.flatnonzero(number == each)
            decide[rows] = logits(folds[each].network, windows.take(rows)).argmax(axis=1)
        return decide

    return predict
