"""One person's recording, whatever data set it came from, and the error of everything that reads one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.contracts.labels import CONTEXT_ACTIVITIES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ACTIVITIES = CONTEXT_ACTIVITIES
"""What a label may say: the ten classes and "resting". Time spent on anything else is unlabelled."""

BASE_MS = 1_668_000_000_000
"""Where a source without absolute time begins: 2022-11-09T13:20:00Z, a multiple of 20 s."""

G = 9.80665
"""Standard gravity, m/s2."""

WATCH_AXES_OF_SENSOR = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""``mg @ WATCH_AXES_OF_SENSOR``: from a sensor whose y runs along the forearm to a watch's axes, by a quarter turn.

A watch's x runs along the forearm, y across it, z out of the face (Android's axes). Which way the Axivity and the
Empatica lie was read off walking, where the arm hangs: gravity is on their -y in 24 and in 2 people.
"""


class DatasetError(ValueError):
    """Data that cannot be read; the text is ``FILE:LINE: what``, or ``FILE: what`` where no line is to blame."""

    def __init__(self, file: object, what: str, line: int | None = None) -> None:
        super().__init__(f"{file}: {what}" if line is None else f"{file}:{line}: {what}")


@dataclass(frozen=True, slots=True)
class Label:
    """The person did ``activity`` from ``start_ms`` to ``end_ms`` (end exclusive)."""

    start_ms: float
    end_ms: float
    activity: str
    intensity: str | None = None


def _floats() -> Floats:
    return np.empty(0)


def _ints() -> Ints:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What one watch measured on one person, in time order, each time stamp once.

    Times are float64 ms since the Unix epoch. ``accelerometer_mg``: (n, 3) with gravity. ``heart_rate_bpm``: (k,),
    0 = no reading. ``steps_total``: cumulative count, int64. A modality that the source lacks is empty.
    ``labels`` are sorted and do not overlap; so are ``details``, what the source itself calls it, also where that is
    none of the ten activities (not kept in the recording format). ``notes``: what a user must know (``{"steps":
    "emulated ..."}``); with ``"synthetic"`` among them no person was measured.
    """

    person: str
    device: str
    source: str
    licence: str
    accelerometer_t_ms: Floats
    accelerometer_mg: Floats
    heart_rate_t_ms: Floats = field(default_factory=_floats)
    heart_rate_bpm: Floats = field(default_factory=_floats)
    steps_t_ms: Floats = field(default_factory=_floats)
    steps_total: Ints = field(default_factory=_ints)
    labels: tuple[Label, ...] = ()
    details: tuple[Label, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    utc_offset_min: int | None = None

    @property
    def synthetic(self) -> bool:
        """Made up by a program: whatever is computed from it says so, and never stands beside real results."""
        return "synthetic" in self.notes

    def minutes_by_activity(self) -> dict[str, float]:
        """Labelled minutes of each activity that occurs."""
        minutes: dict[str, float] = {}
        for label in self.labels:
            minutes[label.activity] = minutes.get(label.activity, 0.0) + (label.end_ms - label.start_ms) / 60_000
        return minutes


@dataclass(frozen=True, slots=True)
class Source:
    """A recording that has been found but not read: ``read()`` loads it. ``name`` is unique within its data set."""

    person: str
    name: str
    read: Callable[[], Recording]


def in_time_order(t_ms: Floats, values: NDArray[Any]) -> tuple[Floats, NDArray[Any]]:
    """Sort samples by time (stable); of samples with the same stamp the first wins."""
    order = np.argsort(t_ms, kind="stable")
    t_ms = t_ms[order]
    first = np.concatenate([np.ones(min(len(t_ms), 1), dtype=bool), np.diff(t_ms) > 0])
    return t_ms[first], values[order][first]


def join_touching(labels: list[Label]) -> tuple[Label, ...]:
    """Sort labels and join neighbours that touch and say the same, so that no window falls between them."""
    joined: list[Label] = []
    for label in sorted(labels, key=lambda label: label.start_ms):
        last = joined[-1] if joined else None
        if last and (last.end_ms, last.activity, last.intensity) == (label.start_ms, label.activity, label.intensity):
            joined[-1] = Label(last.start_ms, label.end_ms, label.activity, label.intensity)
        else:
            joined.append(label)
    return tuple(joined)
