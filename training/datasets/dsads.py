"""Both arms of DSADS as ``personN.csv.gz``: ``activity,segment,i,ra_x,ra_y,ra_z,la_x,la_y,la_z``, m/s2, 25 Hz.

Altun, Barshan, Tuncel, "Comparative study on classifying human activities with miniature inertial and magnetic
sensors", Pattern Recognition 43(10), 2010. Each activity is 5 min in one piece; no clock and no order of the
activities is known. So they follow one another from ``BASE_MS``, ``PAUSE_MS`` apart, in an order shuffled by a hash of
person and activity: always the same for one person. No signal is invented at the joints.
"""

import hashlib
import re
from functools import partial
from pathlib import Path

import numpy as np

from training.datasets.cut import PAUSE_MS
from training.datasets.recording import BASE_MS, DatasetError, G, Label, Recording, Source
from training.datasets.tables import check_header, numbers, read_lines

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
}
"""The other seven (lifts, stepper, cross trainer, rowing, jumping, basketball) are not among the ten: left out."""

ARMS = {"right": slice(3, 6), "left": slice(6, 9)}
_COLUMNS = ("activity", "segment", "i", "ra_x", "ra_y", "ra_z", "la_x", "la_y", "la_z")


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
    """Read one arm of one person; activities that are not among the ten are left out.

    Raises:
        DatasetError: another header, a malformed row, or none of the ten activities.
    """
    lines = read_lines(path)
    check_header(path, lines, ",".join(_COLUMNS))
    rows = numbers(path, lines[1:], _COLUMNS, first_line=2)
    present = sorted(ACTIVITY_BY_NUMBER.keys() & set(rows[:, 0].tolist()), key=lambda number: _shuffle(person, number))
    if not present:
        raise DatasetError(path, "none of the activities that are read")
    t_ms, mg, labels = [], [], []
    start_ms = float(BASE_MS)
    for number in present:
        block = rows[rows[:, 0] == number]
        block_ms = start_ms + np.arange(len(block)) * STEP_MS
        end_ms = float(block_ms[-1]) + STEP_MS
        t_ms.append(block_ms)
        mg.append(block[:, ARMS[arm]] / G * 1000)
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
        notes={"time": "no clock in the source: the activities follow one another in a shuffled order, 30 s apart"},
    )


def _shuffle(person: str, number: int) -> bytes:
    return hashlib.sha256(f"dsads/{person}/{number}".encode()).digest()
