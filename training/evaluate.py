"""How well a network does on people it never saw: folds by person, and the numbers that a manifest carries."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.model.network import NetworkConfig
from training.loop import TrainingSettings, fit, predict
from training.metrics import cell_uar, confusion_matrix, recalls, uar, uar_by_person
from training.samples import Samples

FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """Predictions for every window, each by a network that does not know its person.

    ``predicted``: (n,) class numbers; ``epochs``: per fold, those that its network was trained for.
    """

    predicted: NDArray[np.int64]
    epochs: list[int]

    @property
    def median_epochs(self) -> int:
        """What a network for everybody is trained for; at least 1."""
        return max(1, round(float(np.median(self.epochs))))


def fold_of_people(samples: Samples, folds: int, seed: int) -> NDArray[np.int64]:
    """(n,) fold of each window: no person in two folds, each data set spread over all of them.

    Raises:
        ValueError: fewer people than folds.
    """
    rng = np.random.default_rng(seed)
    people: list[str] = []
    for dataset in np.unique(samples.dataset):
        people += rng.permutation(np.unique(samples.person[samples.dataset == dataset])).tolist()
    if len(people) < folds:
        raise ValueError(f"{len(people)} people cannot be spread over {folds} folds")
    fold = {person: index % folds for index, person in enumerate(people)}
    return np.array([fold[person] for person in samples.person.tolist()], dtype=np.int64)


def cross_validate(
    config: NetworkConfig, samples: Samples, settings: TrainingSettings, *, folds: int = FOLDS
) -> Iterator[tuple[int, Unseen]]:
    """After each fold, its number and what is known so far (-1 where not yet predicted).

    Fold k is tested, fold k + 1 stops the training early, the others train: the test people decide nothing.
    """
    fold = fold_of_people(samples, folds, settings.seed)
    unseen = Unseen(np.full(len(samples), -1, dtype=np.int64), [])
    for test in range(folds):
        stop = (test + 1) % folds
        train = samples.take((fold != test) & (fold != stop))
        fitted = fit(config, train, settings, held_out=samples.take(fold == stop))
        unseen.predicted[fold == test] = predict(fitted.network, samples.take(fold == test))
        unseen.epochs.append(fitted.epochs)
        yield test, unseen


def summary(samples: Samples, predicted: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, float]:
    """The numbers of one measurement: pooled, by cell, mean over people, per data set and per class."""
    truth, n = samples.targets(classes), len(classes)
    values = {
        "people": float(len(np.unique(samples.person))),
        "windows": float(len(samples)),
        "uar": uar(truth, predicted, n),
        "cell_uar": cell_uar(truth, predicted, samples.dataset, n),
        "uar_mean_over_people": float(np.mean(list(uar_by_person(truth, predicted, samples.person, n).values()))),
    }
    for name in np.unique(samples.dataset).tolist():
        chosen = samples.dataset == name
        values[f"uar.{name}"] = uar(truth[chosen], predicted[chosen], n)
    for name, recall in zip(classes, recalls(confusion_matrix(truth, predicted, n)).tolist(), strict=True):
        if not np.isnan(recall):
            values[f"recall.{name}"] = recall
    return {name: round(value, 4) for name, value in values.items()}
