"""Empatica E4 exports: a zip or a folder with ACC.csv and usually HR.csv (each plain or gzipped), at any depth.

ACC.csv: line 1 the start (Unix seconds, or ``YYYY-MM-DD HH:MM:SS``, UTC), line 2 the rate, then x,y,z in 1/64 g,
rotated to a watch's axes (``WATCH_AXES_OF_SENSOR``). HR.csv the same with bpm; its own start is kept (10 s after
ACC's). Empatica's format, E4 Connect.

Labels come from one of two tables, if there is one:
- ``labels.csv`` in the data set's root: ``session,recording,start_s,end_s,activity,detail``; seconds from the first ACC
  sample of the folder ``session/recording``;
- ``NAME_labels.csv`` beside ``NAME.zip`` or the folder ``NAME``: ``start,finish,label,sub``; UTC times
  ``YYYY:MM:DD HH:MM:SS``. ``sub`` numbers repetitions, not people, and is not read.

"sedentary" (desk tasks; the posture follows from the data set's description) is sitting. "rest" after exercise is
unlabelled: the source does not say whether it was on the saddle, on a chair or on foot, and the pulse is still high, so
it is not "resting" either. Time with any other name is unlabelled.

A person is the recording's name without the suffix ``_a``/``_b`` of a session in two files, and without the leading
start time of Empatica's own file names (``1574621345_A01F11``: START_DEVICE).
"""

import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from shared.contracts.labels import CONTEXT_ACTIVITIES
from training.datasets.recording import (
    WATCH_AXES_OF_SENSOR,
    DatasetError,
    Floats,
    Label,
    Recording,
    Source,
    join_touching,
)
from training.datasets.tables import AnyPath, find_table, number, numbers, read_lines, text_rows
from training.datasets.units import stamp_fault

DEVICE = "empatica-e4"

_ACTIVITY_BY_NAME = {
    **{activity: activity for activity in CONTEXT_ACTIVITIES},
    "sedentary": "sitting",
    "jogging": "running",
    "upstairs": "stairs",
    "downstairs": "stairs",
}
_ROOT_HEADER = "session,recording,start_s,end_s,activity,detail"
_BESIDE_HEADER = "start,finish,label,sub"

_Spans = list[tuple[float, float, str]]


def find(root: Path) -> list[Source]:
    """Find the recordings below a folder, or in one zip, by name; labels from ``labels.csv`` in it.

    Raises:
        DatasetError: none there, a broken zip, or a malformed ``labels.csv``.
    """
    top = _as_folder(root) if zipfile.is_zipfile(root) else root
    table = find_table(top, "labels.csv") if top.is_dir() else None
    spans_of = _read_root_table(table) if table else {}
    sources = []
    for folder, name, parent in _walk(top, root.resolve().name.removesuffix(".zip"), ""):
        person = re.sub(r"^\d{9,}_|_[ab]$", "", name)
        full_name = f"{parent}/{name}" if parent else name
        spans = spans_of.get((parent, name), [])
        sources.append(Source(person, full_name, partial(read_export, folder, person, spans, _table_beside(folder))))
    if not sources:
        raise DatasetError(root, "no Empatica E4 export here (a zip or a folder with ACC.csv[.gz])")
    return sources


def _walk(folder: AnyPath, name: str, parent: str) -> Iterator[tuple[AnyPath, str, str]]:
    """Yield (folder, its name, its parent's name) of every export; a zip counts as a folder."""
    if not folder.is_dir():
        return
    if find_table(folder, "ACC.csv"):
        yield folder, name, parent
    entries: list[AnyPath] = [*folder.iterdir()]
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _walk(entry, entry.name, name)
        elif isinstance(entry, Path) and entry.suffix == ".zip":
            yield from _walk(_as_folder(entry), entry.stem, name)


def _as_folder(path: Path) -> zipfile.Path:
    try:
        return zipfile.Path(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DatasetError(path, f"cannot be read: {error}") from error


def _table_beside(folder: AnyPath) -> AnyPath | None:
    """``NAME_labels.csv`` beside the export's folder or zip."""
    container = Path(str(folder.root.filename)) if isinstance(folder, zipfile.Path) else folder.resolve()
    name = container.name.removesuffix(".zip")
    return find_table(container.parent, f"{name}_labels.csv")


def read_export(folder: AnyPath, person: str, spans: _Spans, table: AnyPath | None = None) -> Recording:
    """Read one export. ``spans``: (start, end, activity), seconds from its first ACC sample.

    ``table``: the NAME_labels.csv beside it, where there is one.

    Raises:
        DatasetError: ACC.csv is missing, or a file is malformed.
    """
    acc = find_table(folder, "ACC.csv")
    if acc is None:
        raise DatasetError(folder / "ACC.csv", "no such file (nor .gz)")
    acc_t_ms, acc_values = _read_signal(acc, ("x", "y", "z"))
    if not len(acc_t_ms):
        raise DatasetError(acc, "no samples")
    hr = find_table(folder, "HR.csv")
    hr_t_ms, hr_values = _read_signal(hr, ("bpm",)) if hr else (np.empty(0), np.empty((0, 1)))
    start_ms = float(acc_t_ms[0])
    labels = [Label(start_ms + start_s * 1000, start_ms + end_s * 1000, name) for start_s, end_s, name in spans]
    if table:
        labels += _read_table_beside(table)
    return Recording(
        person=person,
        device=DEVICE,
        source="Empatica E4 export",
        licence="as stated by its data set",
        accelerometer_t_ms=acc_t_ms,
        accelerometer_mg=acc_values * (1000 / 64) @ WATCH_AXES_OF_SENSOR,
        heart_rate_t_ms=hr_t_ms,
        heart_rate_bpm=hr_values[:, 0],
        labels=join_touching(labels),
    )


def _read_signal(path: AnyPath, columns: tuple[str, ...]) -> tuple[Floats, Floats]:
    lines = read_lines(path)
    if len(lines) < 2:
        raise DatasetError(path, "ends before the sample rate in line 2", len(lines) + 1)
    start_s = _time_s(path, 1, lines[0].split(",")[0], "%Y-%m-%d %H:%M:%S")
    if fault := stamp_fault("start", np.array([start_s * 1000])):
        raise DatasetError(path, f"{lines[0].split(',')[0]!r} is no time in Unix seconds ({fault[1]})", 1)
    rate_hz = number(path, 2, "rate", lines[1].split(",")[0])
    if rate_hz <= 0:
        raise DatasetError(path, f"sample rate is {rate_hz:g} Hz", 2)
    values = numbers(path, lines[2:], columns, first_line=3)
    return start_s * 1000 + np.arange(len(values), dtype=np.float64) * (1000 / rate_hz), values


def _time_s(file: object, line: int, cell: str, layout: str) -> float:
    """Parse a time as Unix seconds: a number, or a UTC time of the layout."""
    try:
        return datetime.strptime(cell.strip(), layout).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return number(file, line, "time", cell)


def _activity(name: str) -> str | None:
    return _ACTIVITY_BY_NAME.get(name.strip().lower().replace(" ", "_"))


def _read_root_table(path: AnyPath) -> dict[tuple[str, str], _Spans]:
    spans: dict[tuple[str, str], _Spans] = {}
    for line, (session, recording, start, end, name, *_) in text_rows(
        path, _ROOT_HEADER, _ROOT_HEADER.removesuffix(",detail")
    ):
        start_s, end_s = number(path, line, "start_s", start), number(path, line, "end_s", end)
        if end_s <= start_s:
            raise DatasetError(path, "end_s is not after start_s", line)
        if activity := _activity(name):
            spans.setdefault((session, recording), []).append((start_s, end_s, activity))
    return spans


def _read_table_beside(path: AnyPath) -> list[Label]:
    labels = []
    for line, (start, finish, name, *_) in text_rows(path, _BESIDE_HEADER, _BESIDE_HEADER.removesuffix(",sub")):
        start_s, finish_s = (_time_s(path, line, cell, "%Y:%m:%d %H:%M:%S") for cell in (start, finish))
        if finish_s <= start_s:
            raise DatasetError(path, "finish is not after start", line)
        if activity := _activity(name):
            labels.append(Label(start_s * 1000, finish_s * 1000, activity))
    return labels
