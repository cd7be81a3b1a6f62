"""The labelled windows of several data sets, named as a label set names them; who of them is the demo's."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shared.contracts.labels import LABEL_SETS
from training.datasets import find_sources
from training.datasets.held_out import DEMO_RECORDINGS
from training.datasets.recording import DatasetError, Recording
from training.experiment.cohort import class_of
from training.samples import Samples, collect, concatenate


def read_datasets(datasets: Sequence[str], label_set: str) -> Samples:
    """The windows of several data sets (``KIND=DIR``, each kind once) whose activity is in the label set.

    Raises:
        DatasetError: a spec is wrong, something cannot be read, or no window lies wholly inside a label.
    """
    parts: dict[str, Samples] = {}
    made_up: dict[str, bool] = {}
    for spec in datasets:
        kind = spec.partition("=")[0]
        # People are told apart by kind and name.
        if kind in parts:
            raise DatasetError(spec, f"{kind} is given twice")
        recordings = sorted((source.read() for source in find_sources(spec)), key=_start_ms)
        made_up[kind] = any(recording.synthetic for recording in recordings)
        # The bundle's manifest and card name data sets so: made-up ones must not pass for real.
        name = f"synthetic-{kind}" if made_up[kind] else kind
        try:
            parts[kind] = of_label_set(collect(name, recordings), label_set)
        except ValueError as error:
            raise DatasetError(spec, str(error).removeprefix(f"{name}: ")) from error
        if not (parts[kind].activity != "").any():
            raise DatasetError(spec, f"no window of an activity of {label_set}")
    if len(set(made_up.values())) > 1:
        raise DatasetError(", ".join(datasets), "synthetic and real data do not make one model")
    return concatenate(list(parts.values()))


def classes_of(samples: Samples, label_set: str) -> tuple[str, ...]:
    """The classes of a label set that occur: those that a network can learn."""
    return tuple(activity for activity in LABEL_SETS[label_set] if activity in samples.activity)


def of_label_set(samples: Samples, label_set: str) -> Samples:
    """The same windows, named as the label set names them (har2: static, dynamic), "" where it has no name.

    Windows that have neither name nor detail are left out.
    """
    named = np.array([class_of(label_set, activity) or "" for activity in samples.activity.tolist()], dtype=np.str_)
    return replace(samples, activity=named).take((named != "") | (samples.detail != ""))


def _start_ms(recording: Recording) -> float:
    """A person's sessions must be folded into the baseline in the order in which they happened."""
    return float(recording.accelerometer_t_ms[0])


def split_held_out(samples: Samples) -> tuple[Samples, Samples]:
    """Windows of people to train on, and of those of the demo."""
    # Those of examples/recordings are called so in their own right.
    held_out = np.isin(samples.person, [*DEMO_RECORDINGS, *(f"recordings-{name}" for name in DEMO_RECORDINGS)])
    return samples.take(~held_out), samples.take(held_out)
