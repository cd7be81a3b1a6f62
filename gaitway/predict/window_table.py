"""Classified windows as a CSV file, one line each."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from gaitway.predict.classify import Prediction
from shared.contracts.labels import HAR10

COLUMNS = ("person", "window_start_ms", "activity", "confidence", "label", "detail")


def make_row(prediction: Prediction) -> list[str]:
    """``activity`` may be "unknown"; ``label`` is one of the ten activities or empty, ``detail`` the source's name."""
    window, probabilities = prediction.window, [f"{value:.6f}" for value in prediction.probabilities]
    label = window.activity if window.activity in HAR10 else None
    # "resting" is not one of the ten; it is the wearer's own label.
    detail = window.detail or (window.activity if label is None else None)
    return [
        window.person,
        str(window.record.window_start_ms),
        prediction.activity,
        max(probabilities, key=float),
        label or "",
        detail or "",
        *probabilities,
    ]


def write_windows(path: Path, classes: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write the columns ``COLUMNS``, then ``p_CLASS`` for every class of the model in its order."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *(f"p_{name}" for name in classes)])
        writer.writerows(rows)
