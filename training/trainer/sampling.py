"""Settings of a training, and batches sampled from the windows of several data sets."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.contracts.labels import OTHER
from shared.contracts.modality import ACCELEROMETER, MODALITY_NAMES
from shared.model.network import BASELINE, NetworkConfig
from training.samples import Samples
from training.trainer.augment import Augmentation


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Steps, batches, augmentation, and the probabilities of masking and imputation per window.

    ``other_weight``: draws of ``OTHER`` for each draw of another class; ``detail_weight``: of the second head's loss;
    ``unlabelled_share``: of sampled windows that have only a detail; ``har2_share``: additional steps on har2 before
    the others, as a share of ``steps``.
    """

    steps: int = 1900
    batch_size: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    balanced: bool = True
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    drop_heart_rate: float = 0.5
    drop_steps: float = 0.25
    impute_heart_rate: float = 1.0
    detail_weight: float = 0.5
    unlabelled_share: float = 0.45
    other_weight: float = 1.5
    har2_share: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Inputs of the network; ``target`` and ``detail``: (batch,) int64, -1 where there is none."""

    features: dict[str, Tensor]
    mask: Tensor
    target: Tensor
    detail: Tensor


class BatchSampler:
    """An endless source of batches."""

    def __init__(
        self,
        train: Samples,
        config: NetworkConfig,
        settings: TrainingSettings,
        detail_names: Sequence[str],
        rng: np.random.Generator,
    ) -> None:
        self._train, self._config, self._settings, self._rng = train, config, settings, rng
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._target = index_of(train.activity, config.classes)
        self._detail = index_of(train.detail, detail_names)
        self._probability = sampling_probability(train, self._target >= 0, settings)

    def __call__(self) -> Batch:
        """Sample the next batch."""
        settings, names = self._settings, self._config.modalities
        rows = self._rng.choice(len(self._train), settings.batch_size, p=self._probability)
        donated = with_donor_heart_rate(self._train, rows, settings.impute_heart_rate, self._rng)
        features, mask = tensors(self._train, rows, self._config, heart_rate_of=donated)
        if settings.augmentation and ACCELEROMETER.name in features:
            turned = settings.augmentation(features[ACCELEROMETER.name], features[BASELINE], self._generator)
            features[ACCELEROMETER.name], features[BASELINE] = turned
        drop = {"heart_rate": settings.drop_heart_rate, "steps": settings.drop_steps} if len(names) > 1 else {}
        kept = self._rng.random((len(rows), len(names))) >= [drop.get(name, 0.0) for name in names]
        target, detail = torch.from_numpy(self._target[rows]), torch.from_numpy(self._detail[rows])
        return Batch(features, mask & torch.from_numpy(kept), target, detail)


def with_donor_heart_rate(
    train: Samples, rows: NDArray[np.int64], share: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(n,) the row whose heart rate each window uses: its own, or another's for a ``share`` of those without one."""
    has = train.mask[:, MODALITY_NAMES.index("heart_rate")]
    donors = np.flatnonzero(has)
    imputed = ~has[rows] & (rng.random(len(rows)) < share)
    return np.where(imputed, rng.choice(donors, len(rows)), rows) if len(donors) else rows


def sampling_probability(train: Samples, known: NDArray[np.bool_], settings: TrainingSettings) -> NDArray[np.float64]:
    """(n,) probability of each window: equal per class but ``OTHER``; names of a class by the root of their windows.

    A name is the source's own, or its data set where it has none: typing counts beside sitting, though both are one
    class, and a large data set does not outweigh the others.

    Raises:
        ValueError: no window is of the classes.
    """
    if not known.any():
        raise ValueError("no window is of the classes to be trained")
    probability = known / known.sum()
    if settings.balanced:
        probability = np.zeros(len(train))
        names = np.where(train.detail != "", train.detail, train.dataset)
        for activity in np.unique(train.activity[known]):
            of_class = known & (train.activity == activity)
            _, number, count = np.unique(names[of_class], return_inverse=True, return_counts=True)
            share = np.sqrt(count) / np.sqrt(count).sum()
            weight = settings.other_weight if activity == OTHER else 1.0
            probability[of_class] = weight * (share / count)[number]
        probability /= probability.sum()
    if (~known).any():
        probability = (
            probability * (1 - settings.unlabelled_share) + ~known * settings.unlabelled_share / (~known).sum()
        )
    return np.asarray(probability, dtype=np.float64)


def index_of(labels: NDArray[np.str_], names: Sequence[str]) -> NDArray[np.int64]:
    """(n,) position of each label among ``names``, -1 where it is none of them."""
    position = {name: number for number, name in enumerate(names)}
    return np.array([position.get(label, -1) for label in labels.tolist()], dtype=np.int64)


def tensors(
    samples: Samples,
    rows: NDArray[np.int64] | slice,
    config: NetworkConfig,
    *,
    heart_rate_of: NDArray[np.int64] | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Features float32 and mask of some windows, as the network takes them."""
    from_rows = {"heart_rate": heart_rate_of} if heart_rate_of is not None else {}
    chosen = {name: from_rows.get(name, rows) for name in config.modalities}
    # "multi_scale" does not use the other channels.
    used = {ACCELEROMETER.name: slice(3)} if config.encoder == "multi_scale" else {}
    features = {
        name: torch.from_numpy(samples.features[name][chosen[name], used.get(name, slice(None))].astype(np.float32))
        for name in config.modalities
    }
    features[BASELINE] = torch.from_numpy((samples.baseline_mg[rows] / 1000.0).astype(np.float32))
    mask = np.stack([samples.mask[chosen[name], MODALITY_NAMES.index(name)] for name in config.modalities], axis=1)
    return features, torch.from_numpy(mask)
