"""The generic recording format: one folder per recording.

    accelerometer.csv  t_ms,x,y,z                        mg, gravity included
    heart_rate.csv     t_ms,bpm                          an empty bpm is "no reading"
    steps.csv          t_ms,total                        a cumulative count
    labels.csv         start_ms,end_ms,activity[,intensity]
    recording.json     person, device, source, licence [, notes, utc_offset_min]

Only the first is required; each may be gzipped. Times are ms since the Unix epoch.
"""

import gzip
import io
import json
from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from shared.contracts.labels import INTENSITIES
from training.datasets.recording import ACTIVITIES, DatasetError, Label, Recording, Source
from training.datasets.series import read_accelerometer, read_series
from training.datasets.tables import find_table, number, read_json_object, text_rows
from training.datasets.units import stamp_fault

_FILES = ("accelerometer.csv", "heart_rate.csv", "steps.csv", "labels.csv", "recording.json")
_TEXT_FIELDS = ("person", "device", "source", "licence")


def find(root: Path) -> list[Source]:
    """Find the recordings of a folder: itself, or each sub-folder with an accelerometer file, by name.

    Raises:
        DatasetError: there is none, one has no accelerometer, or a recording.json is wrong.
    """
    folders = [root] if find_table(root, "accelerometer.csv") else sorted(p for p in root.glob("*") if p.is_dir())
    found = [folder for folder in folders if find_table(folder, "accelerometer.csv")]
    if not found:
        raise DatasetError(root, "no recording here: neither it nor a folder in it has accelerometer.csv[.gz]")
    for folder in folders:
        other = next((name for name in ("heart_rate.csv", "steps.csv") if find_table(folder, name)), None)
        if folder not in found and other:
            raise DatasetError(folder, f"{other} is there and accelerometer.csv[.gz] is not")
    return [Source(_read_about(folder)["person"], folder.name, partial(read_recording, folder)) for folder in found]


def read_recordings(root: Path) -> list[Recording]:
    """Read every recording that :func:`find` finds; same errors as :func:`read_recording`."""
    return [source.read() for source in find(root)]


def read_recording(path: Path) -> Recording:
    """Read one folder. Rows out of time order are sorted; of rows with the same time the first wins.

    Raises:
        DatasetError: a file is missing or malformed, a cell is no finite number, an activity or intensity is unknown,
            labels overlap, a time is no ms since the Unix epoch, acceleration is no mg, heart rate or steps are
            negative or more than an upload carries.
    """
    accelerometer = find_table(path, "accelerometer.csv")
    if accelerometer is None:
        raise DatasetError(path / "accelerometer.csv", "no such file (nor .gz)")
    accelerometer_t_ms, accelerometer_mg = read_accelerometer(accelerometer)
    heart_rate_t_ms, heart_rate_bpm = read_series(find_table(path, "heart_rate.csv"), "bpm")
    steps_t_ms, steps_total = read_series(find_table(path, "steps.csv"), "total")
    return Recording(
        **_read_about(path),
        accelerometer_t_ms=accelerometer_t_ms,
        accelerometer_mg=accelerometer_mg,
        heart_rate_t_ms=heart_rate_t_ms,
        heart_rate_bpm=heart_rate_bpm,
        steps_t_ms=steps_t_ms,
        steps_total=steps_total.astype(np.int64),
        labels=_read_labels(path),
    )


def _read_labels(folder: Path) -> tuple[Label, ...]:
    path = find_table(folder, "labels.csv")
    if path is None:
        return ()
    labels: list[tuple[Label, int]] = []
    for line, cells in text_rows(path, "start_ms,end_ms,activity", "start_ms,end_ms,activity,intensity"):
        start_ms, end_ms = number(path, line, "start_ms", cells[0]), number(path, line, "end_ms", cells[1])
        intensity = cells[3] if len(cells) == 4 and cells[3] else None
        if end_ms <= start_ms:
            raise DatasetError(path, "end_ms is not after start_ms", line)
        if cells[2] not in ACTIVITIES:
            raise DatasetError(path, f"unknown activity {cells[2]!r}, known are {', '.join(ACTIVITIES)}", line)
        if intensity is not None and intensity not in INTENSITIES:
            raise DatasetError(path, f"unknown intensity {intensity!r}, known are {', '.join(INTENSITIES)}", line)
        if fault := stamp_fault("start_ms", np.array([start_ms])) or stamp_fault("end_ms", np.array([end_ms])):
            raise DatasetError(path, fault[1], line)
        labels.append((Label(start_ms, end_ms, cells[2], intensity), line))
    labels.sort(key=lambda item: item[0].start_ms)
    for (earlier, _), (later, line) in pairwise(labels):
        if later.start_ms < earlier.end_ms:
            raise DatasetError(path, f"{later.activity} begins before {earlier.activity} has ended", line)
    return tuple(label for label, _ in labels)


def _read_about(folder: Path) -> dict[str, Any]:
    about = {"person": folder.resolve().name, "device": "unknown", "source": "unknown", "licence": "unknown"}
    path = find_table(folder, "recording.json")
    if path is None:
        return about
    stated = read_json_object(path)
    known = {*_TEXT_FIELDS, "notes", "utc_offset_min"}
    if unknown := sorted(stated.keys() - known):
        raise DatasetError(path, f"unknown field {unknown[0]!r}, known are {', '.join(sorted(known))}")
    for name in _TEXT_FIELDS:
        if not isinstance(stated.get(name, ""), str):
            raise DatasetError(path, f"{name} is not a text")
    notes = stated.get("notes", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise DatasetError(path, "notes is not an object of texts")
    offset = stated.get("utc_offset_min")
    if offset is not None and type(offset) is not int:
        raise DatasetError(path, "utc_offset_min is not a whole number of minutes")
    return about | stated


def write_recording(path: Path, recording: Recording) -> None:
    """Write the folder; the same recording gives the same bytes.

    The accelerometer is rounded to whole mg (half to even) and gzipped; the files of absent modalities are not written.
    An existing recording is replaced.
    """
    path.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        for stale in (path / name, path / f"{name}.gz"):
            stale.unlink(missing_ok=True)
    t_ms, mg = recording.accelerometer_t_ms, np.rint(recording.accelerometer_mg).astype(np.int64)
    table = _csv("t_ms,x,y,z", zip(map(_shortest, t_ms), *mg.T.tolist(), strict=True))
    buffer = io.BytesIO()
    # GzipFile, because gzip.compress writes other headers in other Python versions.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(table)
    (path / "accelerometer.csv.gz").write_bytes(buffer.getvalue())
    if len(recording.heart_rate_t_ms):
        bpm = (_shortest(value) if value else "" for value in recording.heart_rate_bpm)
        rows = zip(map(_shortest, recording.heart_rate_t_ms), bpm, strict=True)
        (path / "heart_rate.csv").write_bytes(_csv("t_ms,bpm", rows))
    if len(recording.steps_t_ms):
        steps = zip(map(_shortest, recording.steps_t_ms), recording.steps_total.tolist(), strict=True)
        (path / "steps.csv").write_bytes(_csv("t_ms,total", steps))
    if recording.labels:
        labels = [[_shortest(label.start_ms), _shortest(label.end_ms), label.activity] for label in recording.labels]
        header = "start_ms,end_ms,activity"
        if any(label.intensity for label in recording.labels):
            labels = [[*row, label.intensity or ""] for row, label in zip(labels, recording.labels, strict=True)]
            header += ",intensity"
        (path / "labels.csv").write_bytes(_csv(header, labels))
    about: dict[str, Any] = {name: getattr(recording, name) for name in _TEXT_FIELDS}
    if recording.notes:
        about["notes"] = recording.notes
    if recording.utc_offset_min is not None:
        about["utc_offset_min"] = recording.utc_offset_min
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    (path / "recording.json").write_bytes(text.encode())


def _csv(header: str, rows: Iterable[Iterable[object]]) -> bytes:
    return "\n".join([header, *(",".join(map(str, row)) for row in rows), ""]).encode()


def _shortest(value: float) -> str:
    """The shortest text that reads back as the same float64: 1668000000000, 1668000000031.25."""
    return repr(float(value)).removesuffix(".0")
