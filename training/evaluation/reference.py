"""Distribution of a network's answers for unknown people: the reference for drift in production."""

import numpy as np

from shared.contracts.labels import answers_of
from shared.model.decision import decide_all
from shared.model.manifest import Reference
from training.metrics import Floats

TENTHS = np.arange(1, 10) / 10


def reference(probabilities: Floats, classes: tuple[str, ...], threshold: float, measured_on: str) -> Reference:
    """``probabilities``: (n, classes), below ``threshold`` the answer is "unknown"; all windows have equal weight."""
    confidence = probabilities.max(axis=1)
    activities, answers = decide_all(probabilities, classes, threshold), answers_of(classes)
    shares = np.array([np.mean(activities == name) for name in answers])
    deciles = np.quantile(confidence, TENTHS)
    between = np.bincount(np.searchsorted(deciles, confidence, side="right"), minlength=10) / len(activities)
    return Reference(
        measured_on=measured_on,
        activities=dict(zip(answers, shares.round(6).tolist(), strict=True)),
        confidence_deciles=tuple(deciles.tolist()),
        confidence_shares=tuple(between.round(6).tolist()),
    )
