"""Labelled windows as stacked arrays, computed by the code of the live path, for training and evaluation."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.contracts.modality import MODALITY_NAMES
from shared.windows.featurise import MemoryBaselines
from training.datasets.recording import Recording
from training.offline import HOP_MS, OfflineWindow, offline_windows
from training.pedometer import with_steps


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """n labelled windows.

    ``features``: per modality (n, channels, time) float16, zeros where masked. ``mask``: (n, modalities) bool in
    the catalogue's order. ``baseline_mg``: (n, 3), the baseline subtracted from the acceleration. ``activity`` ("" if
    unlabelled), ``detail`` (DATASET/the source's own name, or ""), ``person`` (unique over data sets) and
    ``dataset``: (n,) str. ``start_ms``: (n,) int64, the windows' starts.
    """

    features: dict[str, NDArray[np.float16]]
    mask: NDArray[np.bool_]
    baseline_mg: NDArray[np.int64]
    activity: NDArray[np.str_]
    detail: NDArray[np.str_]
    person: NDArray[np.str_]
    dataset: NDArray[np.str_]
    start_ms: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.activity)

    def take(self, rows: NDArray[Any]) -> "Samples":
        """The windows that an index or bool array selects."""
        return Samples(
            {name: array[rows] for name, array in self.features.items()},
            self.mask[rows],
            self.baseline_mg[rows],
            self.activity[rows],
            self.detail[rows],
            self.person[rows],
            self.dataset[rows],
            self.start_ms[rows],
        )

    def of_classes(self, classes: Sequence[str]) -> "Samples":
        """The windows whose activity is one of ``classes``."""
        return self.take(np.isin(self.activity, classes))

    def targets(self, classes: Sequence[str]) -> NDArray[np.int64]:
        """(n,) index in ``classes`` of each activity; raises ValueError for one that is not among them."""
        index = {name: number for number, name in enumerate(classes)}
        if unknown := set(self.activity.tolist()) - index.keys():
            raise ValueError(f"activity {min(unknown)!r} is none of {', '.join(classes)}")
        return np.array([index[name] for name in self.activity.tolist()], dtype=np.int64)

    def without(self, modality: str) -> "Samples":
        """The same windows with one modality masked, its features zeros."""
        mask = self.mask.copy()
        mask[:, MODALITY_NAMES.index(modality)] = False
        return replace(self, features=self.features | {modality: np.zeros_like(self.features[modality])}, mask=mask)


def collect(
    dataset: str, recordings: Iterable[Recording], *, hop_ms: int = HOP_MS, unlabelled: bool = False
) -> Samples:
    """The labelled windows of one data set, in order; with ``unlabelled`` all windows.

    A person's recordings of one device share a baseline in the order given; two wrists, which are two devices, do not.
    Windows of other activities than the ten are kept if the source has a name for them. Missing steps are emulated.
    Raises ValueError if no window lies inside a label.
    """
    baselines: defaultdict[str, MemoryBaselines] = defaultdict(MemoryBaselines)
    kept = [
        window
        for recording in map(with_steps, recordings)
        for window in offline_windows([recording], hop_ms=hop_ms, baselines=baselines[recording.device])
        if unlabelled or window.activity or window.detail
    ]
    if not kept:
        raise ValueError(f"{dataset}: no window lies wholly inside a label")
    return _stack(dataset, kept)


def _stack(dataset: str, windows: list[OfflineWindow]) -> Samples:
    records = [window.record for window in windows]
    return Samples(
        features={name: np.stack([record.features[name] for record in records]) for name in MODALITY_NAMES},
        mask=np.array([[record.mask[name] for name in MODALITY_NAMES] for record in records]),
        baseline_mg=np.array([record.baseline.accelerometer.mg for record in records]),
        activity=np.array([window.activity or "" for window in windows], dtype=np.str_),
        detail=np.array([f"{dataset}/{window.detail}" if window.detail else "" for window in windows], dtype=np.str_),
        person=np.array([f"{dataset}-{window.person}" for window in windows]),
        dataset=np.array([dataset for _ in windows]),
        start_ms=np.array([record.window_start_ms for record in records], dtype=np.int64),
    )


def concatenate(parts: Sequence[Samples]) -> Samples:
    """Several sets as one, in order."""
    return Samples(
        {name: np.concatenate([part.features[name] for part in parts]) for name in MODALITY_NAMES},
        np.concatenate([part.mask for part in parts]),
        np.concatenate([part.baseline_mg for part in parts]),
        np.concatenate([part.activity for part in parts]),
        np.concatenate([part.detail for part in parts]),
        np.concatenate([part.person for part in parts]),
        np.concatenate([part.dataset for part in parts]),
        np.concatenate([part.start_ms for part in parts]),
    )
