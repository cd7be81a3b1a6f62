"""Label sets of the paper's three tasks (Mallol-Ragolta et al. 2022, section 3)."""

HAR10 = (
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
)
HAR7 = tuple(name for name in HAR10 if name not in {"washing_hands", "strength", "flexibility"})
HAR2 = ("static", "dynamic")

LABEL_SETS = {"har2": HAR2, "har7": HAR7, "har10": HAR10}

RESTING = "resting"
"""A word of the wearer that sets the heart-rate baseline; never a class."""

CONTEXT_ACTIVITIES = (*HAR10, RESTING)
INTENSITIES = ("low", "moderate", "high")

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
