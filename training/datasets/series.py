"""The three modalities as tables ``t_ms,x,y,z``, ``t_ms,bpm`` and ``t_ms,total``, and the limits of their values."""

import numpy as np

from training.datasets.recording import DatasetError, Floats, in_time_order
from training.datasets.tables import AnyPath, check_header, line_of_row, numbers, read_lines
from training.datasets.units import MAX_BPM, MAX_STEPS, range_fault, stamp_fault, unit_fault


def read_accelerometer(path: AnyPath) -> tuple[Floats, Floats]:
    """Times (n,) in ms and values (n, 3) in mg, in time order; of rows with the same time the first wins.

    Raises:
        DatasetError: another header, a malformed row, no row at all, stamps that are no ms since the Unix epoch, or
            values that are no mg with gravity.
    """
    rows = _rows(path, "t_ms", "x", "y", "z")
    if not len(rows):
        raise DatasetError(path, "no samples")
    if what := unit_fault(rows[:, 1:]):
        raise DatasetError(path, what)
    if fault := range_fault(rows[:, 1:]):
        raise DatasetError(path, fault[1], line_of_row(read_lines(path), fault[0]))
    return in_time_order(rows[:, 0], rows[:, 1:])


def read_series(path: AnyPath | None, column: str) -> tuple[Floats, Floats]:
    """Times and values (n,) of ``bpm`` (empty is "no reading": 0) or ``total``; both empty where there is no file.

    Raises:
        DatasetError: another header, a malformed row, or a value that cannot be.
    """
    if path is None:
        return np.empty(0), np.empty(0)
    rows = _rows(path, "t_ms", column)
    if fault := first_fault(column, rows[:, 1]):
        raise DatasetError(path, fault[1], line_of_row(read_lines(path), fault[0]))
    return in_time_order(rows[:, 0], rows[:, 1])


def first_fault(column: str, values: Floats) -> tuple[int, str] | None:
    """Index of and reason for the first invalid heart rate or step total; None if all are valid."""
    most = MAX_STEPS if column == "total" else MAX_BPM
    wrong = (values < 0) | (values > most)
    if column == "total":
        wrong |= values != np.rint(values)
    if not wrong.any():
        return None
    index = int(np.argmax(wrong))
    kind = "a whole number" if column == "total" else "a number"
    none = "" if column == "total" else ", or nothing where there was no reading"
    return index, f"{column} is {values[index]:.10g}, expected {kind} from 0 to {most}{none}"


def _rows(path: AnyPath, *columns: str) -> Floats:
    lines = read_lines(path)
    check_header(path, lines, ",".join(columns))
    body = lines[1:]
    if columns[-1] == "bpm":
        body = [f"{line}0" if line.rstrip().endswith(",") else line for line in body]
    rows = numbers(path, body, columns, first_line=2)
    if fault := stamp_fault("t_ms", rows[:, 0]):
        raise DatasetError(path, fault[1], line_of_row(read_lines(path), fault[0]))
    return rows
