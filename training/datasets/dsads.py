"""Both arms of DSADS as ``personN.csv.gz``: ``activity,segment,i,ra_x,ra_y,ra_z,la_x,la_y,la_z``, m/s2, 25 Hz.

Altun, Barshan, Tuncel, "Comparative study on classifying human activities with miniature inertial and magnetic
sensors", Pattern Recognition 43(10), 2010. Each activity is 5 min in one piece; no clock and no order of the
activities is known. So they follow one another from ``BASE_MS``, ``PAUSE_MS`` apart, in an order shuffled by a hash of
person and activity: always the same for one person. No signal is invented at the joints. Both arms were measured at
once; the left one's recording is ``SECOND_WRIST_MS`` later, with a device name of its own.
"""

import hashlib
import re
from functools import partial
from pathlib import Path

import numpy as np

from shared.contracts.labels import OTHER
from training.datasets.cut import PAUSE_MS
from training.datasets.recording import BASE_MS, SECOND_WRIST_MS, DatasetError, G, Label, Recording, Source
from training.datasets.tables import check_header, line_of_row, numbers, read_lines

SOURCE = "Daily and Sports Activities (DSADS; Altun, Barshan, Tuncel 2010; UCI 256)"
LICENCE = "CC BY 4.0"
STEP_MS = 40.0

ACTIVITY_BY_NUMBER = {
    1: "sitting",
    2: "standing",
    3: "lying",  # on the back
    4: "lying",  # on the right side
    5: "stairs",  # up
    6: "stairs",  # down
    9: "walking",  # in a parking lot
    10: "walking",  # treadmill, flat
    11: "walking",  # treadmill, uphill
    12: "running",  # treadmill
    15: "cycling",  # exercise bike, horizontal
    16: "cycling",  # exercise bike, upright
    14: OTHER,  # cross trainer
    17: OTHER,  # rowing machine
    18: OTHER,
    19: OTHER,  # basketball: walking, running and throwing in turn
}
"""Three have only a detail: 7 (standing in a lift, whose own acceleration the wrist feels: a network that did not know
the device took 70 % of it for stairs), 8 (in a lift, standing and walking) and 13 (stepper, like stairs in place).
"""

NAME_BY_NUMBER = {
    1: "sitting",
    2: "standing",
    3: "lying on back",
    4: "lying on right side",
    5: "ascending stairs",
    6: "descending stairs",
    7: "standing in an elevator still",
    8: "moving around in an elevator",
    9: "walking in a parking lot",
    10: "walking on a treadmill 4 km/h flat",
    11: "walking on a treadmill 4 km/h at 15 deg incline",
    12: "running on a treadmill 8 km/h",
    13: "exercising on a stepper",
    14: "exercising on a cross trainer",
    15: "cycling on an exercise bike horizontal position",
    16: "cycling on an exercise bike vertical position",
    17: "rowing",
    18: "jumping",
    19: "playing basketball",
}
"""The source's own names, the details."""

LAST = frozenset({7, 8, 13, 14, 17, 18, 19})
"""These follow the other twelve, so that the times of the twelve do not depend on them."""

ARMS = {"right": slice(3, 6), "left": slice(6, 9)}
_COLUMNS = ("activity", "segment", "i", "ra_x", "ra_y", "ra_z", "la_x", "la_y", "la_z")


def find_both(root: Path) -> list[Source]:
    """Find both arms of each person (kind ``dsads_arms``); same errors as :func:`find`."""
    return find(root, ("right", "left"))


def find(root: Path, arms: tuple[str, ...] = ("right",)) -> list[Source]:
    """Find the people (``p1``, ``p2``, ...), one recording per arm: ``p1`` for the right, ``p1-left``.

    Raises:
        DatasetError: no such file there.
    """
    sources = []
    for path in sorted(root.glob("person*.csv*")):
        if match := re.fullmatch(r"person(\d+)\.csv(\.gz)?", path.name):
            person = f"p{match[1]}"
            for arm in arms:
                name = person if arm == "right" else f"{person}-{arm}"
                sources.append(Source(person, name, partial(read_person, path, person, arm)))
    if not sources:
        raise DatasetError(root, "no personN.csv[.gz] of DSADS here")
    return sources


def read_person(path: Path, person: str, arm: str) -> Recording:
    """Read one arm of one person.

    Raises:
        DatasetError: another header, a malformed row, an unknown activity, or no row at all.
    """
    lines = read_lines(path)
    check_header(path, lines, ",".join(_COLUMNS))
    rows = numbers(path, lines[1:], _COLUMNS, first_line=2)
    if not len(rows):
        raise DatasetError(path, "no samples")
    unknown = ~np.isin(rows[:, 0], list(NAME_BY_NUMBER))
    if unknown.any():
        row = int(np.argmax(unknown))
        raise DatasetError(path, f"unknown activity {rows[row, 0]:g}", line_of_row(lines, row))
    present = sorted(
        (int(number) for number in np.unique(rows[:, 0])),
        key=lambda number: (number in LAST, _shuffle(person, number)),
    )
    t_ms, mg, labels, details = [], [], [], []
    start_ms = float(BASE_MS + (SECOND_WRIST_MS if arm == "left" else 0))
    for number in present:
        block = rows[rows[:, 0] == number]
        block_ms = start_ms + np.arange(len(block)) * STEP_MS
        end_ms = float(block_ms[-1]) + STEP_MS
        t_ms.append(block_ms)
        mg.append(block[:, ARMS[arm]] / G * 1000)
        details.append(Label(start_ms, end_ms, NAME_BY_NUMBER[number]))
        if number in ACTIVITY_BY_NUMBER:
            labels.append(Label(start_ms, end_ms, ACTIVITY_BY_NUMBER[number]))
        start_ms = end_ms + PAUSE_MS
    return Recording(
        person,
        f"xsens-mtx-{arm}-arm",
        SOURCE,
        LICENCE,
        np.concatenate(t_ms),
        np.concatenate(mg),
        labels=tuple(labels),
        details=tuple(details),
        notes={"time": "no clock in the source: the activities follow one another in a shuffled order, 30 s apart"},
    )


def _shuffle(person: str, number: int) -> bytes:
    return hashlib.sha256(f"dsads/{person}/{number}".encode()).digest()
