"""The three modalities as tables ``t_ms,x,y,z``, ``t_ms,bpm`` and ``t_ms,total``, and what their values may be."""

import numpy as np

from training.datasets.recording import DatasetError, Floats, in_time_order
from training.datasets.tables import AnyPath, check_header, numbers, read_lines

MAX_STEPS = 2**31 - 1
"""What an upload takes."""


def read_accelerometer(path: AnyPath) -> tuple[Floats, Floats]:
    """Times (n,) in ms and values (n, 3) in mg, in time order; of rows with the same time the first wins.

    Raises:
        DatasetError: another header, a malformed row, or no row at all.
    """
    rows = _rows(path, "t_ms", "x", "y", "z")
    if not len(rows):
        raise DatasetError(path, "no samples")
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
        raise DatasetError(path, fault[1], _line_of(path, fault[0]))
    return in_time_order(rows[:, 0], rows[:, 1])


def first_fault(column: str, values: Floats) -> tuple[int, str] | None:
    """Where and why a heart rate or a step total cannot be what it is said to be; None where all can."""
    wrong = values < 0
    if column == "total":
        wrong |= (values != np.rint(values)) | (values > MAX_STEPS)
    if not wrong.any():
        return None
    index = int(np.argmax(wrong))
    expected = f"a whole number from 0 to {MAX_STEPS}" if column == "total" else "0 or more"
    return index, f"{column} is {values[index]:g}, expected {expected}"


def _rows(path: AnyPath, *columns: str) -> Floats:
    lines = read_lines(path)
    check_header(path, lines, ",".join(columns))
    body = lines[1:]
    if columns[-1] == "bpm":
        body = [f"{line}0" if line.rstrip().endswith(",") else line for line in body]
    return numbers(path, body, columns, first_line=2)


def _line_of(path: AnyPath, row: int) -> int:
    """Line number of a data row, counting the blank lines that the parser skipped."""
    return [line for line, text in enumerate(read_lines(path), start=1) if text.strip()][row + 1]
