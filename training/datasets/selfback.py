"""selfBACK wrist50 as ``personNNN.csv.gz`` (``activity,x64,y64,z64``; g = value / 64) with ``index.csv``.

Sani, Wiratunga, Massie, Cooper, "kNN Sampling for Personalised Human Activity Recognition", ICCBR 2017. Axivity AX3 on
the wrist. Time: each activity's start and real rate (97 to 103 Hz) are in index.csv; the zone is not stated and
taken as UTC. Every fourth sample is kept, behind a zero-phase low-pass (scipy's ``resample_poly``: a Kaiser-windowed
FIR with its edge at a quarter of the Nyquist frequency): near the 25 Hz of a watch, a quarter of the size, no time
warped. The axes are rotated to a watch's (``WATCH_AXES_OF_SENSOR``).
"""

import csv
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from training.datasets.recording import WATCH_AXES_OF_SENSOR, DatasetError, Floats, Label, Recording, Source
from training.datasets.tables import check_header, find_table, number, numbers, read_lines

DEVICE = "axivity-ax3"
SOURCE = "selfBACK wrist50 (Sani, Wiratunga, Massie, Cooper; Robert Gordon University)"
LICENCE = "CC BY 4.0 (as UCI states for selfBACK)"
DECIMATION = 4

ACTIVITY_BY_NAME = {
    "lying": "lying",
    "sitting": "sitting",
    "standing": "standing",
    "walk_slow": "walking",
    "walk_mod": "walking",
    "walk_fast": "walking",
    "jogging": "running",
    "upstairs": "stairs",
    "downstairs": "stairs",
}

_Clock = dict[tuple[str, str], tuple[float, float]]


def find(root: Path) -> list[Source]:
    """Find the people by their number (``026``).

    Raises:
        DatasetError: no such file there, or a malformed index.csv.
    """
    clock = _read_index(root)
    sources = [
        Source(match[1], match[1], partial(read_person, path, match[1], clock))
        for path in sorted(root.glob("person*.csv*"))
        if (match := re.fullmatch(r"person(\d+)\.csv(?:\.gz)?", path.name))
    ]
    if not sources:
        raise DatasetError(root, "no personNNN.csv[.gz] of selfBACK here")
    return sources


def read_person(path: Path, person: str, clock: _Clock) -> Recording:
    """Read one person. ``clock``: (person, activity) -> start in ms and rate in Hz.

    Raises:
        DatasetError: a malformed row, or an activity that is unknown or not in index.csv.
    """
    lines = read_lines(path)
    check_header(path, lines, "activity,x64,y64,z64")
    blocks: list[tuple[Floats, Floats, Label]] = []
    first_line = 2
    for name, block in groupby((line.partition(",") for line in lines[1:]), key=lambda parts: parts[0]):
        cells = [parts[2] for parts in block]
        if name not in ACTIVITY_BY_NAME or (person, name) not in clock:
            raise DatasetError(path, f"activity {name!r} of {person} is not in index.csv", first_line)
        mg = numbers(path, cells, ("x64", "y64", "z64"), first_line=first_line) * (1000 / 64)
        first_line += len(cells)
        start_ms, rate_hz = clock[person, name]
        # "line" extends the signal at the ends' level; otherwise the filter would see a fall to zero.
        mg = resample_poly(mg, 1, DECIMATION, axis=0, padtype="line") @ WATCH_AXES_OF_SENSOR
        step_ms = 1000 * DECIMATION / rate_hz
        t_ms = start_ms + np.arange(len(mg), dtype=np.float64) * step_ms
        blocks.append((t_ms, mg, Label(start_ms, start_ms + len(mg) * step_ms, name)))
    if not blocks:
        raise DatasetError(path, "no samples")
    blocks.sort(key=lambda block: block[2].start_ms)
    return Recording(
        person,
        DEVICE,
        SOURCE,
        LICENCE,
        np.concatenate([t_ms for t_ms, _, _ in blocks]),
        np.concatenate([mg for _, mg, _ in blocks]),
        labels=tuple(replace(detail, activity=ACTIVITY_BY_NAME[detail.activity]) for _, _, detail in blocks),
        details=tuple(detail for _, _, detail in blocks),
        notes={"rate": "every fourth sample of about 100 Hz, low-passed before"},
    )


def _read_index(root: Path) -> _Clock:
    path = find_table(root, "index.csv")
    if path is None:
        raise DatasetError(root / "index.csv", "no such file (nor .gz)")
    reader = csv.DictReader(read_lines(path))
    clock: _Clock = {}
    for row in reader:
        line = reader.line_num
        try:
            start = datetime.fromisoformat(row["start"]).replace(tzinfo=UTC)
            rate_hz = number(path, line, "rate_hz", row["rate_hz"])
            clock[row["person"], row["activity"]] = start.timestamp() * 1000, rate_hz
        except (KeyError, TypeError) as error:
            raise DatasetError(path, f"a cell is missing: {error}", line) from error
        except ValueError as error:
            raise DatasetError(path, str(error), line) from error
    return clock
