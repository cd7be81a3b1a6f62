"""UMAFall: a SensorTag on the wrist, activities of daily life and simulated falls, in the layout of ``indexed``.

E. Casilari, J. A. Santoyo-Ramon, J. M. Cano-Garcia, "UMAFall: A Multisensor Dataset for the Research on Automatic Fall
Detection", Procedia Computer Science 110, 2017. Trials take 15 s, which is less than a window: the trials of one
activity are joined. The stamps are times of receipt and come in bursts.

The falls are left out: they are seconds of falling within 15 s of standing and lying.

Frame: a watch's. While walking most of gravity is on x in 17 of 18 people; its sign depends on person and session, as
on a watch that is worn one way round or the other. z is positive on average while sitting down and getting up (18 of
18) and while lying down (13 of 14), when the palm is down.
"""

from pathlib import Path

from shared.contracts.labels import OTHER
from training.datasets.indexed import IndexedDataset, find_people
from training.datasets.recording import Source

DATASET = IndexedDataset(
    name="umafall",
    device="ti-sensortag",
    source="UMAFall (Casilari, Santoyo-Ramon, Cano-Garcia 2017)",
    licence="CC BY 4.0 (as Figshare states)",
    activity_by_name={
        "walking": "walking",
        "jogging": "running",
        "godownstairs": "stairs",
        "goupstairs": "stairs",
        "aplausing": OTHER,  # clapping hands
        "bending": OTHER,  # picking something up from the floor
        "handsup": OTHER,  # raising both arms
        "hopping": OTHER,  # jumping in place
        "openingdoor": OTHER,
        "lyingdown_onabed": None,  # a change of posture
        "sitting_gettinguponachair": None,  # a change of posture
        "makingacall": None,  # the posture is not stated
    },
    left_out=frozenset({"fall_backwardfall", "fall_forwardfall", "fall_lateralfall"}),
    joined=True,
)


def find(root: Path) -> list[Source]:
    """Find the people (``01``).

    Raises:
        DatasetError: no such file there, or a malformed index.csv.
    """
    return find_people(root, DATASET)
