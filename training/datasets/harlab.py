"""Har-Lab: an ActiGraph on the wrist while people walk, climb stairs and jog, in the layout of ``indexed``; no labels.

Har-Lab, Loyola Marymount University, Biometrics/Activity Dataset of 2022-23, github.com/Har-Lab/HumanActivityData. Each
person's 15 to 17 min hold walking on the pavement, stairs up and down, a walk and a jog on a treadmill, and pauses; no
table that says when is at hand. So there is neither a label nor a detail. At the end of each recording the device has
filled in samples of 0 on all axes; they are kept.

Frame: x is along the forearm: on average most of gravity is on it in all 13 people. The sign of z is not settled, as
the arm hangs most of the time.
"""

from pathlib import Path

from training.datasets.indexed import IndexedDataset, find_people
from training.datasets.recording import Source

DATASET = IndexedDataset(
    name="harlab",
    device="actigraph-gt3x",
    source="Biometrics/Activity Dataset (Har-Lab, Loyola Marymount University, 2022-23)",
    licence="MIT",
    activity_by_name={"walk_stairs_jog_protocol": None},  # several activities, one after another
    find_spans=None,
    notes={"frame": "unknown: x is along the forearm, the sign of z is not settled"},
)


def find(root: Path) -> list[Source]:
    """Find the people (``002``).

    Raises:
        DatasetError: no such file there, or a malformed index.csv.
    """
    return find_people(root, DATASET)
