"""The labelled windows of several data sets, with the classes of a label set; split off the held-out subjects."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shared.contracts.labels import LABEL_SETS, OTHER, class_of
from training.datasets import dataset_of, find_sources
from training.datasets.held_out import DEMO_RECORDINGS
from training.datasets.recording import DatasetError, Recording
from training.samples import Samples, collect, concatenate


def read_datasets(datasets: Sequence[str], label_set: str) -> Samples:
    """The windows of several data sets (``KIND=DIR``, each data set once) whose activity is in the label set.

    Raises:
        DatasetError: a spec is wrong, something cannot be read, or no window lies wholly inside a label.
    """
    parts: dict[str, Samples] = {}
    synthetic: dict[str, bool] = {}
    for spec in datasets:
        dataset = dataset_of(spec.partition("=")[0])
        # Data set and name identify a person.
        if dataset in parts:
            raise DatasetError(spec, f"{dataset} is given twice")
        recordings = sorted((source.read() for source in find_sources(spec)), key=_start_ms)
        synthetic[dataset] = any(recording.synthetic for recording in recordings)
        # This name is in the bundle's manifest and card: synthetic data must not pass for real.
        name = f"synthetic-{dataset}" if synthetic[dataset] else dataset
        try:
            parts[dataset] = of_label_set(collect(name, recordings), label_set)
        except ValueError as error:
            raise DatasetError(spec, str(error).removeprefix(f"{name}: ")) from error
        if not (parts[dataset].activity != "").any():
            raise DatasetError(spec, f"no window of an activity of {label_set}")
    if len(set(synthetic.values())) > 1:
        raise DatasetError(", ".join(datasets), "synthetic and real data cannot be mixed in one model")
    return concatenate(list(parts.values()))


def classes_of(samples: Samples, label_set: str) -> tuple[str, ...]:
    """The classes of a label set that occur in the samples, ``OTHER`` last."""
    return tuple(activity for activity in (*LABEL_SETS[label_set], OTHER) if activity in samples.activity)


def of_label_set(samples: Samples, label_set: str) -> Samples:
    """The same windows with the classes of the label set (har2: static, dynamic) and ``OTHER``, "" where it is neither.

    Windows with neither class nor detail are left out.
    """
    class_by_activity = {
        activity: OTHER if activity == OTHER else class_of(label_set, activity) or ""
        for activity in np.unique(samples.activity).tolist()
    }
    named = np.array([class_by_activity[activity] for activity in samples.activity.tolist()], dtype=np.str_)
    return replace(samples, activity=named).take((named != "") | (samples.detail != ""))


def _start_ms(recording: Recording) -> float:
    """Sort key: the baseline needs a person's sessions in time order."""
    return float(recording.accelerometer_t_ms[0])


def split_held_out(samples: Samples) -> tuple[Samples, Samples]:
    """Split into the windows to train on and those of the held-out subjects."""
    # With the prefix when examples/recordings itself is the data set.
    held_out = np.isin(samples.person, [*DEMO_RECORDINGS, *(f"recordings-{name}" for name in DEMO_RECORDINGS)])
    return samples.take(~held_out), samples.take(held_out)
