"""Nurses at work with an Empatica E4: ``person_ID.npz`` with ``index.csv``; acceleration and heart rate, no labels.

    person_ID.npz  accKK (n, 3) int8 in 1/64 g at 32 Hz; hrKK (k,) uint8 in bpm at 1 Hz, for each session KK
    index.csv      person,session,...,hr_start_offset_s,...  the heart rate's start, in s after the acceleration's

S. Hosseini, R. Gottumukkala, S. Katragadda et al., "A multimodal sensor dataset for continuous stress detection of
nurses in a hospital", Scientific Data 9:255, 2022, doi:10.1038/s41597-022-01361-y. The calendar time was dropped: a
person's sessions follow one another from ``BASE_MS`` in the order of their numbers, ``PAUSE_MS`` apart. The
heart rate is Empatica's smoothed one, rounded to whole bpm. The axes are rotated to a watch's
(``WATCH_AXES_OF_SENSOR``).
"""

import csv
import re
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.cut import PAUSE_MS
from training.datasets.recording import BASE_MS, WATCH_AXES_OF_SENSOR, DatasetError, Recording, Source
from training.datasets.tables import AnyPath, find_table, number, read_lines

DEVICE = "empatica-e4"
SOURCE = "Stress detection of nurses in a hospital (Hosseini et al. 2022, doi:10.1038/s41597-022-01361-y)"
LICENCE = "CC0 1.0"
ACC_STEP_MS = 1000 / 32
HR_STEP_MS = 1000.0

_Offsets = dict[int, float]


def find(root: Path) -> list[Source]:
    """Find the people (``5C``).

    Raises:
        DatasetError: no such file there, or a malformed index.csv.
    """
    index_path = find_table(root, "index.csv")
    people = [
        (match[1], path)
        for path in sorted(root.glob("*.npz"))
        if (match := re.fullmatch(r"person_(\w+)\.npz", path.name))
    ]
    if index_path is None or not people:
        raise DatasetError(root, "no person_ID.npz with index.csv[.gz] of the nurses here")
    offsets = _read_index(index_path)
    return [
        Source(person, person, partial(read_person, path, person, offsets.get(person, {}))) for person, path in people
    ]


def read_person(path: Path, person: str, offsets_s: _Offsets) -> Recording:
    """Read one person. ``offsets_s``: session -> start of the heart rate, in s after the acceleration's.

    Raises:
        DatasetError: the file is no npz, an array is missing or of another shape, or the person has no session.
    """
    if not offsets_s:
        raise DatasetError(path, f"person {person} is not in index.csv")
    acc_t_ms, acc_mg, hr_t_ms, hr_bpm = [], [], [], []
    start_ms = float(BASE_MS)
    for session, offset_s in sorted(offsets_s.items()):
        acceleration = _read_array(path, f"acc{session:02d}", (-1, 3))
        heart_rate = _read_array(path, f"hr{session:02d}", (-1,))
        acc_t_ms.append(start_ms + np.arange(len(acceleration)) * ACC_STEP_MS)
        acc_mg.append(acceleration * (1000 / 64) @ WATCH_AXES_OF_SENSOR)
        hr_t_ms.append(start_ms + offset_s * 1000 + np.arange(len(heart_rate)) * HR_STEP_MS)
        hr_bpm.append(heart_rate)
        end_ms = max(float(t_ms[-1]) for t_ms in (acc_t_ms[-1], hr_t_ms[-1]) if len(t_ms))
        start_ms = float(np.ceil(end_ms)) + PAUSE_MS
    return Recording(
        person,
        DEVICE,
        SOURCE,
        LICENCE,
        np.concatenate(acc_t_ms),
        np.concatenate(acc_mg),
        np.concatenate(hr_t_ms),
        np.concatenate(hr_bpm),
        notes={"time": f"calendar time was dropped: the sessions follow one another, {PAUSE_MS // 1000} s apart"},
    )


def _read_array(path: Path, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """One array of the file as float64; -1 in ``shape`` is any length above 0."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            array: NDArray[Any] = arrays[name]
    except (OSError, ValueError, EOFError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise DatasetError(path, f"{name} cannot be read: {error}") from error
    fits = array.ndim == len(shape) and all(size in (-1, found) for size, found in zip(shape, array.shape, strict=True))
    if not fits or not len(array) or array.dtype.kind not in "iu":
        raise DatasetError(path, f"{name} has shape {array.shape} and type {array.dtype}, expected whole numbers")
    return array.astype(np.float64)


def _read_index(path: AnyPath) -> dict[str, _Offsets]:
    reader = csv.DictReader(read_lines(path))
    offsets: dict[str, _Offsets] = {}
    for row in reader:
        line = reader.line_num
        try:
            session = int(number(path, line, "session", row["session"]))
            offset_s = number(path, line, "hr_start_offset_s", row["hr_start_offset_s"])
            offsets.setdefault(row["person"], {})[session] = offset_s
        except (KeyError, TypeError, AttributeError) as error:
            raise DatasetError(path, f"a cell is missing: {error}", line) from error
    return offsets
