"""harAGE as the papers describe it: one folder per participant, one activity per file (docs/datasets/harage.md).

Mallol-Ragolta et al., "harAGE: a novel multimodal smartwatch-based dataset for human activity recognition", 2021:
Garmin vivoactive 3; accelerometer at 25 Hz in mg, heart rate in bpm and steps since midnight at 1 Hz. The data are
available from the authors on request and were not at hand for this reader: names and layout of the files are assumed.

    PARTICIPANT/ACTIVITY[_INTENSITY].json               {"accelerometer": {"t_ms": [], "x": [], "y": [], "z": []},
                                                         "heart_rate": {"t_ms": [], "bpm": []},
                                                         "steps": {"t_ms": [], "total": []}}
    PARTICIPANT/ACTIVITY[_INTENSITY].accelerometer.csv  t_ms,x,y,z
    PARTICIPANT/ACTIVITY[_INTENSITY].heart_rate.csv     t_ms,bpm
    PARTICIPANT/ACTIVITY[_INTENSITY].steps.csv          t_ms,total
    about.json                                          optional: source, licence, notes

Each may be gzipped. Times are ms since the Unix epoch; a heart rate of 0, null or nothing is no reading; heart rate and
steps may be absent. An activity lasts from the first to the last accelerometer sample of its file.
"""

import math
import re
import sys
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from shared.contracts.labels import CONTEXT_ACTIVITIES, INTENSITIES
from training.datasets.recording import DatasetError, Floats, Label, Recording, Source, in_time_order
from training.datasets.series import first_fault, read_accelerometer, read_series
from training.datasets.tables import find_table, read_json_object
from training.datasets.units import range_fault, stamp_fault, unit_fault

DEVICE = "garmin-vivoactive-3"
SOURCE = "harAGE (Mallol-Ragolta et al. 2021)"
LICENCE = "on request from the authors"
STEP_MS = 40.0

_ACTIVITY_BY_NAME = {
    **{activity: activity for activity in CONTEXT_ACTIVITIES},
    "stairs_climbing": "stairs",
    "strength_workout": "strength",
    "flexibility_workout": "flexibility",
}
"""The papers' names and ours; a space or a hyphen counts as an underscore."""

_FILE = re.compile(r"(?P<stem>.+?)\.(json|(accelerometer|heart_rate|steps)\.csv)(\.gz)?")
_COLUMNS = {"accelerometer": ("x", "y", "z"), "heart_rate": ("bpm",), "steps": ("total",)}

_Series = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One activity of one participant; heart rate and steps are empty where there are none."""

    stem: str
    label: Label
    accelerometer: _Series
    heart_rate: _Series
    steps: _Series


def find(root: Path) -> list[Source]:
    """Find one recording per participant, by the folder's name.

    Raises:
        DatasetError: no participant there, a file that is named after no activity, or a malformed ``about.json``.
    """
    about = _read_about(root)
    sources = [
        Source(folder.name, folder.name, partial(read_participant, folder, stems, about))
        for folder in sorted(path for path in root.glob("*") if path.is_dir())
        if (stems := _stems(folder))
    ]
    if not sources:
        raise DatasetError(root, "no PARTICIPANT/ACTIVITY.json or ACTIVITY.accelerometer.csv of harAGE here")
    return sources


def read_participant(folder: Path, stems: dict[str, tuple[str, str | None]], about: dict[str, Any]) -> Recording:
    """Read a participant's activities as one recording, in the order of time.

    ``stems``: file name without ending -> activity and intensity; ``about``: source, licence and notes.

    Raises:
        DatasetError: a file is missing or malformed, or two activities overlap in time.
    """
    parts = [_read_part(folder, stem, *named) for stem, named in stems.items()]
    parts.sort(key=lambda part: part.label.start_ms)
    for earlier, later in pairwise(parts):
        if later.label.start_ms < earlier.label.end_ms:
            raise DatasetError(folder, f"{later.stem} begins before {earlier.stem} has ended")

    def joined(name: str) -> _Series:
        series: list[_Series] = [getattr(part, name) for part in parts]
        return in_time_order(np.concatenate([t_ms for t_ms, _ in series]), np.concatenate([v for _, v in series]))

    accelerometer_t_ms, accelerometer_mg = joined("accelerometer")
    heart_rate_t_ms, heart_rate_bpm = joined("heart_rate")
    steps_t_ms, steps_total = joined("steps")
    return Recording(
        folder.name,
        DEVICE,
        about["source"],
        about["licence"],
        accelerometer_t_ms,
        accelerometer_mg,
        heart_rate_t_ms,
        heart_rate_bpm,
        steps_t_ms,
        steps_total.astype(np.int64),
        labels=tuple(part.label for part in parts),
        notes=about["notes"],
    )


def _read_about(root: Path) -> dict[str, Any]:
    about = {"source": SOURCE, "licence": LICENCE, "notes": {}}
    path = find_table(root, "about.json")
    if path is None:
        return about
    about |= read_json_object(path)
    if unknown := sorted(about.keys() - {"source", "licence", "notes"}):
        raise DatasetError(path, f"unknown field {unknown[0]!r}, known are licence, notes, source")
    if not isinstance(about["source"], str) or not isinstance(about["licence"], str):
        raise DatasetError(path, "source or licence is not a text")
    notes = about["notes"]
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise DatasetError(path, "notes is not an object of texts")
    return about


def _stems(folder: Path) -> dict[str, tuple[str, str | None]]:
    """Names of a participant's files without their endings -> activity and intensity."""
    stems: dict[str, tuple[str, str | None]] = {}
    for path in sorted(folder.iterdir()):
        if match := _FILE.fullmatch(path.name):
            name = re.sub(r"[ -]", "_", match["stem"].lower())
            activity, _, intensity = name.rpartition("_")
            if intensity not in INTENSITIES:
                activity, intensity = name, ""
            if activity not in _ACTIVITY_BY_NAME:
                raise DatasetError(path, f"unknown activity {activity!r}, known are {', '.join(_ACTIVITY_BY_NAME)}")
            stems[match["stem"]] = (_ACTIVITY_BY_NAME[activity], intensity or None)
    return stems


def _read_part(folder: Path, stem: str, activity: str, intensity: str | None) -> _Part:
    if (path := find_table(folder, f"{stem}.json")) is not None:
        accelerometer, heart_rate, steps = _read_json(path)
    elif (path := find_table(folder, f"{stem}.accelerometer.csv")) is not None:
        accelerometer = read_accelerometer(path)
        heart_rate = read_series(find_table(folder, f"{stem}.heart_rate.csv"), "bpm")
        steps = read_series(find_table(folder, f"{stem}.steps.csv"), "total")
    else:
        raise DatasetError(folder / f"{stem}.accelerometer.csv", "no such file (nor .gz)")
    t_ms = accelerometer[0]
    label = Label(float(t_ms[0]), float(t_ms[-1]) + STEP_MS, activity, intensity)
    return _Part(stem, label, accelerometer, heart_rate, steps)


def _read_json(path: Any) -> tuple[_Series, _Series, _Series]:
    stated = read_json_object(path)
    if unknown := sorted(stated.keys() - _COLUMNS.keys()):
        raise DatasetError(path, f"unknown field {unknown[0]!r}, known are {', '.join(_COLUMNS)}")
    if "accelerometer" not in stated:
        raise DatasetError(path, "accelerometer is missing")
    accelerometer, heart_rate, steps = (_modality(path, stated.get(name), name) for name in _COLUMNS)
    if not len(accelerometer[0]):
        raise DatasetError(path, "accelerometer has no samples")
    return accelerometer, heart_rate, steps


def _modality(path: object, stated: Any, name: str) -> _Series:
    """Times (n,) and values, (n, 3) for the accelerometer and (n,) else; both empty where the modality is absent."""
    columns = _COLUMNS[name]
    if stated is None:
        return np.empty(0), np.empty(0)
    if not isinstance(stated, dict) or stated.keys() != {"t_ms", *columns}:
        raise DatasetError(path, f"{name} is not an object with t_ms, {', '.join(columns)}")
    t_ms = _floats(path, stated["t_ms"], f"{name}.t_ms")
    values = [_floats(path, stated[column], f"{name}.{column}") for column in columns]
    for column, array in zip(columns, values, strict=True):
        if len(array) != len(t_ms):
            raise DatasetError(path, f"{name} has {len(t_ms)} t_ms and {len(array)} {column}")
    if fault := stamp_fault("t_ms", t_ms):
        raise DatasetError(path, f"{name}.t_ms[{fault[0]}]: {fault[1]}")
    if len(columns) > 1:
        axes = np.stack(values, axis=1)
        if what := unit_fault(axes):
            raise DatasetError(path, f"{name}: {what}")
        if fault := range_fault(axes):
            raise DatasetError(path, f"{name}[{fault[0]}]: {fault[1]}")
        return in_time_order(t_ms, axes)
    if fault := first_fault(columns[0], values[0]):
        raise DatasetError(path, f"{name}.{columns[0]}[{fault[0]}]: {fault[1]}")
    return in_time_order(t_ms, values[0])


def _floats(path: object, stated: Any, name: str) -> Floats:
    """A JSON array of finite numbers; null is 0 in a heart rate alone."""
    if not isinstance(stated, list):
        raise DatasetError(path, f"{name} is not an array")
    if name.endswith(".bpm"):
        stated = [0 if value is None else value for value in stated]
    try:
        values = np.array(stated)
        if values.ndim == 1 and values.dtype.kind in "if" and np.isfinite(values).all():
            return values.astype(np.float64)
    except ValueError:  # arrays of unequal lengths within the array
        pass
    # Only for a faulty array: search it for the element.
    for index, value in enumerate(stated):
        # An integer that does not fit into a float is refused, too; isfinite would raise.
        if type(value) not in (int, float) or not abs(value) < math.inf or abs(value) > sys.float_info.max:
            raise DatasetError(path, f"{name}[{index}] is not a number: {str(value)[:40]!r}")
    raise DatasetError(path, f"{name} is not an array of numbers")
