"""Text tables: plain, gzipped or inside a zip; every fault is reported with its file and line."""

import csv
import gzip
import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.datasets.recording import DatasetError, Floats

AnyPath = Path | zipfile.Path
"""zipfile.Path has the methods of Path that are used here, so a zip is read like a folder."""


def find_table(folder: AnyPath, name: str) -> AnyPath | None:
    """Path of the table in the folder, plain or gzipped (the plain one where both are there), or None."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def read_lines(path: AnyPath) -> list[str]:
    """Read a text file's lines, without line ends; names that end in ``.gz`` are decompressed.

    Raises:
        DatasetError: the file cannot be read, is not what its name says, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
        if path.name.endswith(".gz"):
            content = gzip.decompress(content)
        return content.decode("utf-8-sig").splitlines()
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DatasetError(path, f"cannot be read: {what}") from error


def read_json_object(path: AnyPath) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        DatasetError: the file cannot be read, is not JSON, or holds something else.
    """
    text = "\n".join(read_lines(path))
    try:
        stated = json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(path, error.msg, error.lineno) from error
    # Numbers with thousands of digits; deeply nested brackets.
    except (ValueError, RecursionError) as error:
        raise DatasetError(path, str(error)) from error
    if not isinstance(stated, dict):
        raise DatasetError(path, "not a JSON object", 1)
    return stated


def number(file: object, line: int, column: str, cell: str) -> float:
    """One cell as a finite number.

    Raises:
        DatasetError: it is not one.
    """
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DatasetError(file, f"{column} is not a number: {cell.strip()!r}", line)
    return value


def numbers(
    file: object, lines: Sequence[str], columns: Sequence[str], *, first_line: int, delimiter: str = ","
) -> Floats:
    """Parse rows of finite numbers. Returns (rows, columns); blank lines are skipped.

    ``first_line``: line number of ``lines[0]`` in the file.

    Raises:
        DatasetError: a row with another number of cells, or a cell that is no finite number.
    """
    rows = [line for line in lines if line and not line.isspace()]
    if not rows:
        return np.empty((0, len(columns)))
    try:
        values = np.loadtxt(rows, delimiter=delimiter, comments=None, ndmin=2)
        if values.shape[1] == len(columns) and np.isfinite(values).all():
            return values
    except ValueError:
        pass
    # Only for a faulty file: search it for the line.
    for line, row in enumerate(lines, start=first_line):
        cells = row.split(delimiter)
        if not row.strip():
            continue
        if len(cells) != len(columns):
            raise DatasetError(file, f"{len(cells)} cells where {','.join(columns)} are expected: {row!r}", line)
        for column, cell in zip(columns, cells, strict=True):
            number(file, line, column, cell)
    raise DatasetError(file, f"not a table of the numbers {','.join(columns)}")


def line_of_row(lines: Sequence[str], row: int) -> int:
    """Line number of a data row below a header, counting the blank lines that :func:`numbers` skips."""
    return [line for line, text in enumerate(lines, start=1) if text.strip()][row + 1]


def check_header(file: object, lines: Sequence[str], *headers: str) -> None:
    """Check that the first line is one of the headers.

    Raises:
        DatasetError: it is another.
    """
    first = ",".join(cell.strip() for cell in lines[0].split(",")) if lines else ""
    if first not in headers:
        found = f"header is {first[:80]!r}, expected {' or '.join(map(repr, headers))}"
        other = next((sign for sign in ";\t" if sign in first), None)
        raise DatasetError(file, f"{found}, separated by commas and not by {other!r}" if other else found, 1)


def text_rows(path: AnyPath, *headers: str) -> Iterator[tuple[int, list[str]]]:
    """Rows of a small CSV file with a checked header, as (line number, stripped cells).

    Raises:
        DatasetError: another header, or a row with another number of cells than the header.
    """
    lines = read_lines(path)
    check_header(path, lines, *headers)
    width = lines[0].count(",") + 1
    reader = csv.reader(lines[1:])
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DatasetError(path, str(error), reader.line_num + 1) from error
        line = reader.line_num + 1
        if cells is None:
            return
        if not cells:
            continue
        if len(cells) != width:
            raise DatasetError(path, f"{len(cells)} cells, the header has {width}", line)
        yield line, [cell.strip() for cell in cells]
