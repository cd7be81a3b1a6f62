"""Label sets of the paper's three tasks (Mallol-Ragolta et al. 2022, section 3), and the decision of a model."""

from collections.abc import Mapping
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

UNKNOWN = "unknown"
"""The activity when a model abstains; it counts as wrong."""


def decide(probabilities: Mapping[str, float], abstain_below: float) -> tuple[str, float]:
    """Return the most probable class, or ``UNKNOWN`` below ``abstain_below``, and its probability."""
    activity = max(probabilities, key=lambda name: probabilities[name])
    confidence = probabilities[activity]
    return (activity if confidence >= abstain_below else UNKNOWN), confidence
