"""Label sets of the paper's three tasks (Mallol-Ragolta et al. 2022, section 3), and the decision of a model."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, get_args

ContextActivity = Literal[
    "lying",
    "sitting",
    "standing",
    "washing_hands",
    "walking",
    "running",
    "stairs",
    "strength",
    "flexibility",
    "cycling",
    "resting",
]
"""Activities that a wearer may state: the ten activities and rest."""

Intensity = Literal["low", "moderate", "high"]

CONTEXT_ACTIVITIES: tuple[str, ...] = get_args(ContextActivity)
INTENSITIES: tuple[str, ...] = get_args(Intensity)

RESTING = "resting"
"""Stated by the wearer, it sets the heart-rate baseline; never a class."""

HAR10 = tuple(name for name in CONTEXT_ACTIVITIES if name != RESTING)
HAR7 = tuple(name for name in HAR10 if name not in {"washing_hands", "strength", "flexibility"})
HAR2 = ("static", "dynamic")

LABEL_SETS = {"har2": HAR2, "har7": HAR7, "har10": HAR10}

MOVEMENT = {
    "lying": "static",
    "sitting": "static",
    "standing": "static",
    "walking": "dynamic",
    "running": "dynamic",
    "stairs": "dynamic",
    "cycling": "dynamic",
}
"""har2 of each har7 activity; the other three of har10 are excluded from har2."""

OTHER = "other"
"""The class, beside those of a label set, of a model that has learnt what is none of the ten activities."""

UNKNOWN = "unknown"
"""The activity when a model abstains or finds ``OTHER``; for a window of one of the ten it counts as wrong."""


def decide(probabilities: Mapping[str, float], abstain_below: float) -> tuple[str, float]:
    """Return the most probable class, or ``UNKNOWN`` for ``OTHER`` and below ``abstain_below``, and its probability."""
    activity = max(probabilities, key=probabilities.__getitem__)
    confidence = probabilities[activity]
    return (activity if activity != OTHER and confidence >= abstain_below else UNKNOWN), confidence


def answers_of(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the activities that a model of these classes can name, ``UNKNOWN`` last."""
    return (*(name for name in classes if name != OTHER), UNKNOWN)


def find_nearest(probabilities: Mapping[str, float]) -> str:
    """Return the most probable class besides ``OTHER``."""
    return max((name for name in probabilities if name != OTHER), key=probabilities.__getitem__)


def project(probabilities: Mapping[str, float], label_set: str) -> dict[str, float]:
    """Sum the probabilities of classes to those of a smaller label set; ``OTHER`` is the rest, where there is one.

    >>> project({"sitting": 0.25, "walking": 0.5, "strength": 0.25}, "har2")
    {'static': 0.25, 'dynamic': 0.5, 'other': 0.25}
    """
    sums = dict.fromkeys(HAR2, 0.0) if label_set == "har2" else {}
    for name, probability in probabilities.items():
        within = _group_of(label_set, name)
        sums[within] = sums.get(within, 0.0) + probability
    return sums


@cache
def _group_of(label_set: str, name: str) -> str:
    return class_of(label_set, name) or OTHER


def class_of(label_set: str, activity: str) -> str | None:
    """Return the class of an activity in a label set, or None: har2 is the movement of har7's activities."""
    if label_set == "har2":
        return activity if activity in HAR2 else MOVEMENT.get(activity)
    return activity if activity in LABEL_SETS[label_set] else None
