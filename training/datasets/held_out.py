"""The people of the demo (examples/recordings): no model is ever trained on them."""

HELD_OUT_SUBJECTS = {
    "wisdm": ("1600", "1621", "1650"),
    "dsads": ("p1", "p2"),
    "selfback": ("026", "041"),
    "e4": ("S03", "f01", "f11"),
    "garmin": ("1",),
}
"""Source data set -> the names that its people have there."""

DEMO_RECORDINGS = tuple(f"{source}-{person}" for source, people in HELD_OUT_SUBJECTS.items() for person in people)
"""Folders in examples/recordings, and at the same time the ``person`` of each."""
