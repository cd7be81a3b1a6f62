"""Distribution of a network's answers for unknown people: the reference for drift in production."""

import numpy as np

from shared.contracts.labels import UNKNOWN
from shared.model.manifest import Reference
from training.metrics import Floats

TENTHS = np.arange(1, 10) / 10


def reference(probabilities: Floats, classes: tuple[str, ...], threshold: float, measured_on: str) -> Reference:
    """``probabilities``: (n, classes), below ``threshold`` the answer is "unknown"; all windows have equal weight."""
    confidence = probabilities.max(axis=1)
    decide = np.where(confidence >= threshold, probabilities.argmax(axis=1), len(classes))
    shares = np.bincount(decide, minlength=len(classes) + 1) / len(decide)
    deciles = np.quantile(confidence, TENTHS)
    between = np.bincount(np.searchsorted(deciles, confidence, side="right"), minlength=10) / len(decide)
    return Reference(
        measured_on=measured_on,
        activities=dict(zip((*classes, UNKNOWN), shares.round(6).tolist(), strict=True)),
        confidence_deciles=tuple(deciles.tolist()),
        confidence_shares=tuple(between.round(6).tolist()),
    )
