"""Minutes per person and activity: the table that `gaitway predict` prints."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from rich.table import Table

from gaitway.predict.classify import Prediction
from gaitway.tables import PLAIN_TABLE
from shared.contracts.labels import answers_of
from training.datasets.recording import Recording

NOT_CLASSIFIED = "not_classified"
TOTAL = "total"
TITLE = "Minutes by person and activity (none: recorded, but not classified)"
PAUSE_MS = 10_000
_MS = 60_000


class Minutes:
    """Minutes of each person by predicted activity, including ``unknown`` and ``not_classified``.

    Windows overlap, so each counts only for its hop. Recorded time in no window's hop is not classified: the first
    seconds of every stretch, dropouts, a watch that was not worn.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._names = (*answers_of(classes), NOT_CLASSIFIED)
        self._by_person: dict[str, defaultdict[str, float]] = {}

    def add(self, person: str, recordings: Iterable[Recording], predictions: Iterable[Prediction]) -> None:
        """Count all recordings and windows of one person; call it once per person."""
        minutes = self._by_person[person] = defaultdict(float)
        for prediction in predictions:
            minutes[prediction.activity] += prediction.window.record.hop_ms / _MS
        classified = sum(minutes.values())
        minutes[NOT_CLASSIFIED] = max(0.0, sum(map(count_recorded_min, recordings)) - classified)

    def to_json(self) -> dict[str, dict[str, float]]:
        """Minutes by person and activity, in the model's order."""
        return {
            person: {name: round(minutes[name], 3) for name in self._names if name in minutes}
            for person, minutes in self._by_person.items()
        }

    def table(self) -> Table:
        """One row per person and one for the total."""
        people = dict(self._by_person)
        if len(people) > 1:
            people[TOTAL] = defaultdict(
                float, {name: sum(minutes[name] for minutes in people.values()) for name in self._names}
            )
        names = [name for name in self._names if any(minutes[name] for minutes in people.values())]
        table = Table(**PLAIN_TABLE | {"padding": (0, 1, 0, 0)})
        table.add_column("person", min_width=max(map(len, people), default=0))
        for name in names:
            heading = "none" if name == NOT_CLASSIFIED else name.replace("_", " ")
            table.add_column(heading, justify="right", overflow="fold")
        for person, minutes in people.items():
            table.add_row(person, *(f"{minutes[name]:.1f}" if minutes[name] else "" for name in names))
        return table


def count_recorded_min(recording: Recording) -> float:
    """Minutes with readings, without pauses longer than ``PAUSE_MS``."""
    stamps = (recording.accelerometer_t_ms, recording.heart_rate_t_ms, recording.steps_t_ms)
    steps_ms = np.diff(np.unique(np.concatenate(stamps)))
    return float(steps_ms[steps_ms <= PAUSE_MS].sum()) / _MS
