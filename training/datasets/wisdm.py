"""The official layout of the WISDM watch accelerometer: ``raw/watch/accel/data_SSSS_accel_watch.txt[.gz]``.

G. M. Weiss, "WISDM Smartphone and Smartwatch Activity and Biometrics Dataset", UCI 2019, doi:10.24432/C5HK59.
A line is ``subject,letter,timestamp_ns,x,y,z;`` in m/s2 with gravity, nominally 20 Hz, sometimes 100 Hz for seconds.

Time: the stamps count from the watch's start, so a recording's first sample is at ``BASE_MS`` and the watch's
own clock is kept from there. That includes the pauses between activities, which last hours in five people and two days
in subject 1622: real users also take off their watch.
Blocks are ordered by activity in the file and sorted by time here. In one person (1649) the kicking block runs 58 s
into the next one: where two blocks overlap, the earlier block ends where the later one begins; its other samples are
left out.
"""

import re
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from shared.contracts.labels import OTHER
from training.datasets.recording import BASE_MS, DatasetError, G, Label, Recording, Source, in_time_order
from training.datasets.tables import numbers, read_lines

DEVICE = "lg-g-watch"
SOURCE = "WISDM Smartphone and Smartwatch Activity and Biometrics Dataset (Weiss 2019, doi:10.24432/C5HK59)"
LICENCE = "CC BY 4.0"

ACTIVITY_BY_LETTER = {
    **{"A": "walking", "B": "running", "C": "stairs", "D": "sitting", "E": "standing"},
    # Done at a table, on a chair: the posture is one of the ten, whatever the hands do.
    **{"F": "sitting", "Q": "sitting", "H": "sitting", "J": "sitting"},  # typing, writing, soup, pasta
    # Arms or legs do something that no posture and no way of moving describes.
    **{"G": OTHER, "M": OTHER, "O": OTHER, "P": OTHER, "R": OTHER, "S": OTHER},
}
"""Chips, drinking and a sandwich (I, K, L) may be had on a chair or on foot, which the source does not say: they have a
detail but no label."""

DETAIL_BY_LETTER = {
    **{"A": "walking", "B": "jogging", "C": "stairs", "D": "sitting", "E": "standing", "F": "typing", "G": "teeth"},
    **{"H": "soup", "I": "chips", "J": "pasta", "K": "drinking", "L": "sandwich", "M": "kicking", "O": "catch"},
    **{"P": "dribbling", "Q": "writing", "R": "clapping", "S": "folding"},
}
"""The data set's own names of its 18 activities (activity_key.txt; there is no N)."""

_NAME = re.compile(r"data_(\w+)_accel_watch\.txt(\.gz)?")
_LEVELS = (".", "accel", "watch/accel", "raw/watch/accel", "wisdm-dataset/raw/watch/accel")


def find(root: Path) -> list[Source]:
    """Find one recording per subject, by name. ``root`` may be any level of the layout.

    Raises:
        DatasetError: no such file there.
    """
    for level in _LEVELS:
        paths = sorted((root / level).glob("data_*_accel_watch.txt*"))
        # A subject may have a plain and a gzipped file; the plain one sorts first and is used.
        by_subject: dict[str, Path] = {}
        for path in paths:
            if match := _NAME.fullmatch(path.name):
                by_subject.setdefault(match[1], path)
        if by_subject:
            return [Source(name, name, partial(read_subject, path, name)) for name, path in by_subject.items()]
    raise DatasetError(root, "no raw/watch/accel/data_*_accel_watch.txt[.gz] here")


def read_subject(path: Path, subject: str) -> Recording:
    """Read one subject's file.

    Raises:
        DatasetError: a malformed line, another subject's line, an unknown activity letter, or no line at all.
    """
    lines = read_lines(path)
    letters: list[str] = []
    cells: list[str] = []
    for line, text in enumerate(lines, start=1):
        person, _, rest = text.partition(",")
        letter, _, values = rest.partition(",")
        if not text.strip():
            cells.append("")
            continue
        if person != subject or letter not in DETAIL_BY_LETTER:
            raise DatasetError(path, f"expected {subject},ACTIVITY LETTER,timestamp,x,y,z; got {text!r}", line)
        letters.append(letter)
        cells.append(values.rstrip("; "))
    if not letters:
        raise DatasetError(path, "no samples")
    rows = numbers(path, cells, ("timestamp", "x", "y", "z"), first_line=1)
    t_ms = BASE_MS + np.round((rows[:, 0] - rows[:, 0].min()) / 1e6, 3)
    letter_of = np.array(letters)
    starts = np.concatenate([[0], np.flatnonzero(letter_of[1:] != letter_of[:-1]) + 1])
    blocks = sorted(np.split(np.arange(len(t_ms)), starts[1:]), key=lambda block: float(t_ms[block].min()))
    for n, (block, following) in enumerate(pairwise(blocks)):
        blocks[n] = block[t_ms[block] < t_ms[following].min()]
    blocks = [block for block in blocks if len(block)]
    labels, details = (
        tuple(
            Label(float(t_ms[block].min()), float(t_ms[block].max()), names[letter_of[block[0]]])
            for block in blocks
            if letter_of[block[0]] in names
        )
        for names in (ACTIVITY_BY_LETTER, DETAIL_BY_LETTER)
    )
    kept = np.concatenate(blocks)
    accelerometer_t_ms, accelerometer_mg = in_time_order(t_ms[kept], rows[kept, 1:] / G * 1000)
    return Recording(
        subject, DEVICE, SOURCE, LICENCE, accelerometer_t_ms, accelerometer_mg, labels=labels, details=details
    )
