"""Classify recordings offline, through the same assembler, features, baselines and model as the live stream."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from gaitway.tables import PLAIN_TABLE
from shared.contracts.labels import LABEL_SETS, MOVEMENT, UNKNOWN, decide
from shared.model.bundle import LoadedModel
from training.datasets.recording import Recording, Source
from training.metrics import confusion_matrix, recalls, uar_by_person
from training.offline import OfflineWindow, offline_windows


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """One classified window; ``probabilities`` in the order of the model's classes."""

    window: OfflineWindow
    probabilities: NDArray[np.float64]
    activity: str


def predict(recordings: Iterable[Recording], model: LoadedModel, user: str | None) -> list[Prediction]:
    """Classify the windows of one person's recordings, which share a baseline, in time order.

    ``user``: whose phase the windows have; None: they start at multiples of the hop.
    """
    ordered = sorted(recordings, key=lambda recording: float(recording.accelerometer_t_ms[0]))
    windows = list(offline_windows(ordered, user=user))
    records = [window.record for window in windows]
    probabilities = model.probabilities(
        [record.features for record in records],
        [record.mask for record in records],
        [record.baseline.accelerometer.mg for record in records],
    )
    return [
        Prediction(window, row, decide(dict(zip(model.classes, row.tolist(), strict=True)), model.abstain_below)[0])
        for window, row in zip(windows, probabilities, strict=True)
    ]


def read_by_person(sources: Iterable[Source]) -> Iterator[list[Recording]]:
    """Read the recordings of one person after another; only one person's are in memory."""
    people: dict[str, list[Source]] = {}
    for source in sources:
        people.setdefault(source.person, []).append(source)
    for group in people.values():
        yield [source.read() for source in group]


class Score:
    """Counts predictions of windows that lie wholly inside one label of the model's label set."""

    def __init__(self, label_set: str) -> None:
        self.classes = LABEL_SETS[label_set]
        self.windows = 0
        self.abstained = 0
        self._movement = label_set == "har2"
        self._truth: list[int] = []
        self._predicted: list[int] = []
        self._people: list[str] = []

    def add(self, person: str, truth: str | None, activity: str) -> None:
        """Count one window. If ``truth`` is None or not in the label set, the window has no part in the scores."""
        self.windows += 1
        self.abstained += activity == UNKNOWN
        label = MOVEMENT.get(truth or "") if self._movement else truth
        if label not in self.classes:
            return
        self._truth.append(self.classes.index(label))
        # "unknown" has a column of its own, after the classes.
        self._predicted.append(self.classes.index(activity) if activity in self.classes else len(self.classes))
        self._people.append(person)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(classes, classes + 1) counts; the last column is "unknown"."""
        size = len(self.classes) + 1
        return confusion_matrix(np.array(self._truth, int), np.array(self._predicted, int), size)[:-1]

    def summary(self) -> dict[str, Any]:
        """UAR (mean over people), per person, recall per class; None where no window is labelled."""
        size = len(self.classes) + 1
        truth, predicted = np.array(self._truth, int), np.array(self._predicted, int)
        people = uar_by_person(truth, predicted, np.array(self._people, str), size)
        found = recalls(confusion_matrix(truth, predicted, size))
        return {
            "uar": float(np.mean(list(people.values()))) if people else None,
            "uar_by_person": people,
            "recall_by_class": {
                name: float(value) for name, value in zip(self.classes, found, strict=False) if not np.isnan(value)
            },
            "windows": len(self._truth),
            "windows_unlabelled": self.windows - len(self._truth),
            "abstained": self.abstained,
        }

    def table(self) -> Table:
        """The confusion matrix; rows are the truth. Zeros, and classes that do not occur, are left out."""
        title = "Windows by what was true (rows) and what the model said (columns)"
        table = Table(title=title, **PLAIN_TABLE | {"padding": (0, 1, 0, 0)})
        table.add_column("")
        shown = [*self.classes, UNKNOWN]
        confusion = self.confusion
        used = np.flatnonzero(confusion.any(axis=0) | np.append(confusion.any(axis=1), False)).tolist()
        for index in used:
            table.add_column(shown[index], justify="right")
        table.add_column("recall", justify="right")
        for name, row in zip(self.classes, confusion, strict=True):
            if row.sum():
                recall = f"{row[self.classes.index(name)] / row.sum():.2f}"
                table.add_row(name, *(str(row[index]) if row[index] else "" for index in used), recall)
        return table
