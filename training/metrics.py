"""Metrics of a classification: recall per class, UAR, confusion matrix; pooled, per person and per (class, set)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def confusion_matrix(truth: Ints, predicted: Ints, classes: int) -> Ints:
    """(classes, classes) counts: rows are the truth, columns the predictions. Inputs are (n,) class numbers."""
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def recalls(confusion: Ints) -> Floats:
    """(classes,) recall of each class; NaN for a class that does not occur."""
    total = confusion.sum(axis=1)
    # Divide only where a class occurs, without a warning for the others.
    found = np.full(len(confusion), np.nan)
    np.divide(np.diag(confusion), total, out=found, where=total > 0)
    return found


def uar(truth: Ints, predicted: Ints, classes: int) -> float:
    """Unweighted average recall over the classes that occur; NaN where there is no window."""
    found = recalls(confusion_matrix(truth, predicted, classes))
    return float(np.nanmean(found)) if len(truth) else float("nan")


def uar_by_person(truth: Ints, predicted: Ints, person: NDArray[np.str_], classes: int) -> dict[str, float]:
    """UAR of each person, over the person's classes."""
    return {str(name): uar(truth[person == name], predicted[person == name], classes) for name in np.unique(person)}


def dataset_balanced_uar(truth: Ints, predicted: Ints, dataset: NDArray[np.str_], classes: int) -> float:
    """Each class's recall, averaged over the data sets that have the class, then over classes.

    If data sets have few classes, pooled UAR rewards a model that recognises the device; this metric does not.
    """
    names: Sequence[str] = np.unique(dataset).tolist()
    cells = np.array(
        [recalls(confusion_matrix(truth[dataset == name], predicted[dataset == name], classes)) for name in names]
    )
    held = ~np.isnan(cells)
    occurs = held.any(axis=0)
    return float(np.mean(np.nansum(cells, axis=0)[occurs] / held.sum(axis=0)[occurs])) if occurs.any() else float("nan")
