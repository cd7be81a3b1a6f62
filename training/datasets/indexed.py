"""The common layout of several small data sets: ``personNN.csv.gz`` with ``index.csv``.

    personNN.csv[.gz]  rec,t_ms,x_mg,y_mg,z_mg  mg with gravity; t_ms from the start of the trial that rec numbers
    index.csv          rec,person,activity,...  one row per trial: who did what

A trial is seconds to minutes of one activity. Neither the order of the trials nor the time between them is known. So a
person's activities follow one another from ``BASE_MS``, ``PAUSE_MS`` or more apart, in an order shuffled by a hash of
data set, person and activity: always the same for one person. The trials of one activity follow in the order of their
numbers, as far apart. A pause ends where a window begins, so that a trial of 35 s has a window. Where trials are
shorter than a window, they are joined without a pause instead; the joints are not real, and ``notes`` says so.

Where a person has trials of both wrists, each wrist is a recording with its own device name; the left one is
``SECOND_WRIST_MS`` later. No signal is invented.
"""

import csv
import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from shared.contracts.modality import WINDOW_MS
from training.datasets.cut import PAUSE_MS
from training.datasets.recording import (
    BASE_MS,
    SECOND_WRIST_MS,
    DatasetError,
    Floats,
    Label,
    Recording,
    Source,
    in_time_order,
    join_touching,
)
from training.datasets.tables import AnyPath, check_header, find_table, line_of_row, number, numbers, read_lines
from training.datasets.units import range_fault, unit_fault

Spans = list[tuple[float, float]]
"""(start, end) in ms from a trial's start, in order, without overlap."""

_COLUMNS = ("rec", "t_ms", "x_mg", "y_mg", "z_mg")
_TIME_NOTE = (
    f"no clock in the source: the activities follow one another in a shuffled order, {PAUSE_MS // 1000} s or more apart"
)
_JOINT_NOTE = "the trials of one activity follow one another without a pause; joints between trials are not real"
_WRIST_NOTE = "the left wrist's recording is a day later than the right one's"


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One recording of the source. ``t_ms`` (n,) from its start, ``mg`` (n, 3) in a watch's axes."""

    activity: str
    t_ms: Floats
    mg: Floats
    end_ms: float


def span_whole(trial: Trial) -> Spans:
    """All of the trial is its activity."""
    return [(0.0, trial.end_ms)]


@dataclass(frozen=True, slots=True, eq=False)
class IndexedDataset:
    """What the data sets of this layout differ in.

    ``activity_by_name``: the source's name of an activity -> a label, or None for a detail alone. ``left_out``: names
    whose trials are not read. ``axes``: ``mg @ axes`` has a watch's axes. ``wrist_of``: a column of index.csv and the
    wrist (right, left) of each of its cells. ``find_spans``: the parts of a trial that have label and detail;
    None: no part has.
    """

    name: str
    device: str
    source: str
    licence: str
    activity_by_name: Mapping[str, str | None]
    left_out: frozenset[str] = frozenset()
    axes: Floats = field(default_factory=lambda: np.eye(3))
    wrist_of: tuple[str, Mapping[str, str]] | None = None
    joined: bool = False
    find_spans: Callable[[Trial], Spans] | None = span_whole
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One row of index.csv; ``wrist`` is "" where the data set has one wrist per person."""

    activity: str
    wrist: str


_Index = dict[int, _Entry]


def find_people(root: Path, dataset: IndexedDataset) -> list[Source]:
    """Find one recording per person and wrist: ``01`` (the right or only wrist), ``01-left``.

    Raises:
        DatasetError: no such file there, or a malformed index.csv.
    """
    index_path = find_table(root, "index.csv")
    paths = {
        match[1]: path
        for path in sorted(root.glob("person*.csv*"), reverse=True)
        if (match := re.fullmatch(r"person(\d+)\.csv(?:\.gz)?", path.name))
    }
    if index_path is None or not paths:
        raise DatasetError(root, f"no personNN.csv[.gz] with index.csv[.gz] of {dataset.name} here")
    index = _read_index(index_path, dataset)
    sources = []
    for person, path in sorted(paths.items()):
        entries = index.get(person, {})
        wrists = {entry.wrist for entry in entries.values()} or {""}
        for wrist in sorted(wrists, reverse=True):
            name = f"{person}-left" if wrist == "left" else person
            sources.append(Source(person, name, partial(read_person, path, dataset, person, entries, wrist)))
    return sources


def read_person(path: Path, dataset: IndexedDataset, person: str, index: _Index, wrist: str = "") -> Recording:
    """Read one wrist of one person. ``index``: the person's trials by number.

    Raises:
        DatasetError: another header, a malformed row, a trial that is not in the index, or nothing that is read.
    """
    wanted = {
        rec: entry.activity
        for rec, entry in index.items()
        if entry.wrist == wrist and entry.activity not in dataset.left_out
    }
    trials = _read_trials(path, index, wanted, dataset.axes)
    if not trials:
        raise DatasetError(path, "no trial of an activity that is read")
    order = sorted({trial.activity for trial in trials}, key=lambda name: _shuffle(dataset.name, person, name))
    t_ms, labels, details = [], [], []
    start_ms = float(BASE_MS + (SECOND_WRIST_MS if wrist == "left" else 0))
    placed = [trial for name in order for trial in trials if trial.activity == name]
    for trial, following in zip(placed, [*placed[1:], None], strict=True):
        t_ms.append(start_ms + trial.t_ms)
        label = dataset.activity_by_name[trial.activity]
        for begin_ms, end_ms in dataset.find_spans(trial) if dataset.find_spans else []:
            details.append(Label(start_ms + begin_ms, start_ms + end_ms, trial.activity))
            if label is not None:
                labels.append(Label(start_ms + begin_ms, start_ms + end_ms, label))
        start_ms += trial.end_ms
        if not dataset.joined or following is None or following.activity != trial.activity:
            start_ms = math.ceil((start_ms + PAUSE_MS) / WINDOW_MS) * float(WINDOW_MS)
    notes = {"time": _TIME_NOTE}
    if dataset.joined:
        notes["joints"] = _JOINT_NOTE
    if wrist:
        notes["wrist"] = _WRIST_NOTE
    return Recording(
        person,
        f"{dataset.device}-{wrist}-wrist" if wrist else dataset.device,
        dataset.source,
        dataset.licence,
        np.concatenate(t_ms),
        np.concatenate([trial.mg for trial in placed]),
        labels=join_touching(labels),
        details=join_touching(details),
        notes=notes | dict(dataset.notes),
    )


def _read_trials(path: Path, index: _Index, wanted: Mapping[int, str], axes: Floats) -> list[Trial]:
    """Read the trials of a person's file whose numbers are wanted, in the order of their numbers."""
    lines = read_lines(path)
    check_header(path, lines, ",".join(_COLUMNS))
    rows = numbers(path, lines[1:], _COLUMNS, first_line=2)
    recs = rows[:, 0]
    unknown = ~np.isin(recs, list(index))
    if unknown.any():
        row = int(np.argmax(unknown))
        raise DatasetError(path, f"rec {recs[row]:g} is not in index.csv for this person", line_of_row(lines, row))
    if what := unit_fault(rows[:, 2:]):
        raise DatasetError(path, what)
    if fault := range_fault(rows[:, 2:]):
        raise DatasetError(path, fault[1], line_of_row(lines, fault[0]))
    rows = rows[np.argsort(recs, kind="stable")]
    trials = []
    for block in np.split(rows, np.flatnonzero(np.diff(rows[:, 0])) + 1):
        name = wanted.get(int(block[0, 0])) if len(block) > 1 else None
        if name is None:
            continue
        t_ms, mg = in_time_order(block[:, 1], block[:, 2:])
        step_ms = float(np.rint(np.median(np.diff(t_ms)))) if len(t_ms) > 1 else 0.0
        trials.append(Trial(name, t_ms - t_ms[0], mg @ axes, float(t_ms[-1] - t_ms[0]) + step_ms))
    return trials


def _read_index(path: AnyPath, dataset: IndexedDataset) -> dict[str, _Index]:
    """Read index.csv as person -> number of the trial -> what it is."""
    reader = csv.DictReader(read_lines(path))
    column, wrist_by_cell = dataset.wrist_of or ("", {})
    index: dict[str, _Index] = {}
    for row in reader:
        line = reader.line_num
        cells = {name: row.get(name) for name in ("rec", "person", "activity", *filter(None, [column]))}
        if missing := next((name for name, cell in cells.items() if cell is None), None):
            raise DatasetError(path, f"a cell is missing: {missing}", line)
        rec, person, activity, *wrists = (str(cell).strip() for cell in cells.values())
        if activity not in dataset.activity_by_name and activity not in dataset.left_out:
            raise DatasetError(path, f"unknown activity {activity!r}", line)
        if wrists and wrists[0] not in wrist_by_cell:
            raise DatasetError(path, f"{column} is {wrists[0]!r}, expected {' or '.join(wrist_by_cell)}", line)
        entry = _Entry(activity, wrist_by_cell[wrists[0]] if wrists else "")
        if index.setdefault(person, {}).setdefault(int(number(path, line, "rec", rec)), entry) is not entry:
            raise DatasetError(path, f"rec {rec} of person {person} is there twice", line)
    return index


def _shuffle(dataset: str, person: str, activity: str) -> bytes:
    return hashlib.sha256(f"{dataset}/{person}/{activity}".encode()).digest()
