"""Everybody's windows of one task, who was left out, and why."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.contracts.labels import LABEL_SETS, class_of
from shared.contracts.modality import MODALITY_NAMES
from training.datasets import Recording, find_sources
from training.datasets.cut import cut
from training.datasets.recording import DatasetError
from training.experiment.exclusion import corrupt_pedometer
from training.experiment.segments import BaselineKind, PersonWindows, person_windows
from training.pedometer import with_steps

MIN_WINDOWS = 5
"""Windows without overlap that a person must have: with fewer a recall is no number to average."""


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """n windows, 50 % overlapped, of all people that take part.

    ``features``: per modality (n, channels, time) float16, for the modalities that the data set has. ``target``: (n,)
    index in ``classes``, those of the task that occur. ``person``: (n,) index in ``people``. ``alone``: (n,) bool, the
    windows without overlap. ``left_out``: person -> why. ``synthetic``: the recordings say that they are made up.
    """

    features: dict[str, NDArray[np.float16]]
    target: NDArray[np.int64]
    person: NDArray[np.int64]
    alone: NDArray[np.bool_]
    classes: tuple[str, ...]
    people: tuple[str, ...]
    left_out: dict[str, str]
    synthetic: bool

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of the data set, in the order of shared.contracts.modality.MODALITY_NAMES."""
        return tuple(name for name in MODALITY_NAMES if name in self.features)

    def rows_of(self, people: tuple[str, ...], *, alone: bool) -> NDArray[np.int64]:
        """The windows of some people: all, or those without overlap."""
        chosen = np.isin(self.person, [self.people.index(person) for person in people])
        return np.flatnonzero(chosen & self.alone if alone else chosen)


def read_cohort(
    spec: str,
    task: str,
    baseline: BaselineKind,
    minutes_per_activity: float | None,
    on_person: Callable[[int, int], None] | None = None,
) -> Cohort:
    """Read ``KIND=DIR`` for a task, one person in memory at a time; ``on_person(done, total)`` is told of the progress.

    Steps are emulated where a recording has none. ``minutes_per_activity`` cuts each person's recordings to so many
    minutes of each activity, shared evenly among its spans; what is cut off is as if it had never been recorded.

    Raises:
        DatasetError: something cannot be read, or nobody is left.
    """
    by_person: dict[str, list[Callable[[], Recording]]] = {}
    for source in find_sources(spec):
        by_person.setdefault(source.person, []).append(source.read)
    windows: dict[str, PersonWindows] = {}
    left_out: dict[str, str] = {}
    synthetic = False
    for done, (person, reads) in enumerate(sorted(by_person.items()), start=1):
        recordings = [read() for read in reads]
        synthetic |= any(recording.synthetic for recording in recordings)
        made = _windows_of(recordings, task, baseline, minutes_per_activity)
        if isinstance(made, str):
            left_out[person] = made
        else:
            windows[person] = made
        if on_person:
            on_person(done, len(by_person))
    modalities = [name for name in MODALITY_NAMES if any(name in made.features for made in windows.values())]
    for person, made in list(windows.items()):
        if missing := [name for name in modalities if name not in made.features]:
            left_out[person] = f"no {missing[0].replace('_', ' ')}"
            del windows[person]
    if not windows:
        reasons = "; ".join(f"{person}: {why}" for person, why in left_out.items())
        raise DatasetError(spec, f"nobody has windows of two classes of {task} ({reasons})")
    return _join(windows, modalities, task, left_out, synthetic)


def _windows_of(
    recordings: list[Recording], task: str, baseline: BaselineKind, minutes_per_activity: float | None
) -> PersonWindows | str:
    """One person's windows, or why there are none."""
    if not any(recording.labels for recording in recordings):
        return "nothing is labelled"
    if broken := corrupt_pedometer(recordings):
        return broken
    ordered = sorted(map(with_steps, recordings), key=lambda recording: float(recording.accelerometer_t_ms[0]))
    if minutes_per_activity is not None:
        ordered = [cut(ordered, minutes_per_activity)]
    activities = sorted({label.activity for one in ordered for label in one.labels if class_of(task, label.activity)})
    windows = person_windows(ordered, activities, baseline)
    if windows is None:
        return f"no window of 20 s of {task}"
    classes = {class_of(task, activity) for activity in windows.activity[windows.alone].tolist()}
    if len(classes) < 2:
        return f"one class only: {classes.pop()}"
    if (n := int(windows.alone.sum())) < MIN_WINDOWS:
        return f"too few windows: {n} without overlap, {MIN_WINDOWS} needed"
    return windows


def _join(
    windows: dict[str, PersonWindows], modalities: list[str], task: str, left_out: dict[str, str], synthetic: bool
) -> Cohort:
    named = [class_of(task, activity) for made in windows.values() for activity in made.activity.tolist()]
    classes = tuple(name for name in LABEL_SETS[task] if name in named)
    return Cohort(
        {name: np.concatenate([made.features[name] for made in windows.values()]) for name in modalities},
        np.array([classes.index(name) for name in named if name], dtype=np.int64),
        np.repeat(np.arange(len(windows)), [len(made.activity) for made in windows.values()]),
        np.concatenate([made.alone for made in windows.values()]),
        classes,
        tuple(windows),
        dict(sorted(left_out.items())),
        synthetic,
    )
