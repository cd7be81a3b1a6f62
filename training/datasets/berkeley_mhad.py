"""Berkeley MHAD: Shimmer units on both wrists, eleven short actions, in the layout of ``indexed``.

F. Ofli, R. Chaudhry, G. Kurillo, R. Vidal, R. Bajcsy, "Berkeley MHAD: A Comprehensive Multimodal Human Action
Database", WACV 2013. Trials take 3 to 20 s, which is less than a window: the five trials of one action are joined. Both
wrists were measured at once.

While one hand waves, the other one, the left, is still. The label is about the person, so both wrists have it.

Frame: a watch's. x is along the forearm, positive when the arm hangs. z is positive on average at the end of sitting
down, with the hands on the thighs, palm down, in 22 of 24 wrists. y has opposite signs on the two wrists.
"""

from pathlib import Path

from shared.contracts.labels import OTHER
from training.datasets.indexed import IndexedDataset, find_people
from training.datasets.recording import Source

DATASET = IndexedDataset(
    name="berkeley_mhad",
    device="shimmer",
    source="Berkeley MHAD (Ofli, Chaudhry, Kurillo, Vidal, Bajcsy 2013)",
    licence="BSD 2-Clause",
    activity_by_name={
        "jumping_jacks": OTHER,
        "jumping_in_place": OTHER,
        "punching": OTHER,
        "waving_one_hand": OTHER,
        "waving_two_hands": OTHER,
        "throwing_ball": OTHER,
        "clapping": OTHER,
        "bending_hands_up": OTHER,  # repetitions of 4 s, no stretch is held
        "sit_down": None,  # a change of posture
        "stand_up": None,  # a change of posture
        "sit_down_then_stand_up": None,  # changes of posture
    },
    wrist_of=("wrist", {"right": "right", "left": "left"}),
    joined=True,
)


def find(root: Path) -> list[Source]:
    """Find the people, one recording per wrist: ``01`` for the right, ``01-left``.

    Raises:
        DatasetError: no such file there, or a malformed index.csv.
    """
    return find_people(root, DATASET)
