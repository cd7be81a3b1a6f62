"""Shoulder physiotherapy exercises with an Apple Watch (the watch data of ``seglearn``), in the layout of ``indexed``.

D. M. Burns, N. Leung, M. Hardisty et al., "Shoulder physiotherapy exercise recognition: machine learning the inertial
signals from a smartwatch", Physiological Measurement 39 (2018) 075007. Each person did each exercise 20 times with the
watch on the right wrist and 20 times with it on the left.

Frame: Apple's axes with Apple's sign, which is minus Android's. In the pendulum the arm hangs, and gravity is on x in
all 14 recordings of 7 people (left 0.7 to 1.1 g, right -0.9 to -1.2 g). With elbow bent and thumb up, in the rotations,
y is positive in all 28, where a watch that is worn to be read has minus by Android's sign. When the arm is raised, palm
down, z is negative on average in 27 of 28.
"""

from pathlib import Path

import numpy as np

from training.datasets.indexed import IndexedDataset, find_people
from training.datasets.recording import Source

DATASET = IndexedDataset(
    name="seglearn",
    device="apple-watch",
    source="seglearn's watch data set (Burns et al. 2018, doi:10.1088/1361-6579/aacfd9)",
    licence="BSD 3-Clause (seglearn, which ships the data)",
    activity_by_name={
        "pendulum": "flexibility",  # the relaxed arm swings, no load
        "abduction": "flexibility",  # raising the arm sideways, no load
        "forward_elevation": "flexibility",  # raising the arm forward, no load
        "external_rotation_band": "strength",  # against a rubber band
        "internal_rotation_band": "strength",  # against a rubber band
        "trapezius_row_band": "strength",  # against a rubber band
        "bent_row_dumbbell": "strength",  # with a dumbbell of 3 lb
    },
    axes=-np.eye(3),
    wrist_of=("side", {"1": "right", "0": "left"}),
)


def find(root: Path) -> list[Source]:
    """Find the people, one recording per wrist: ``01`` for the right, ``01-left``.

    Raises:
        DatasetError: no such file there, or a malformed index.csv.
    """
    return find_people(root, DATASET)
