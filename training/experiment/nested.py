"""Nested folds by person (Mallol-Ragolta et al. 2022, section 4.3).

In every outer fold the training people are split into inner folds; each inner network trains on all of them but one and
stops early on that one. The outer network is trained on all training people for the median of the epochs that the inner
ones ran, those in which they waited for something better included. The test people decide nothing.
"""

import time
from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np

from training.datasets.recording import DatasetError
from training.experiment.cohort import Cohort
from training.experiment.job import Job
from training.experiment.results import Fold, Protocol, Variant
from training.experiment.stacked import Windows, predict, train_together
from training.experiment.stacked_network import StackedNetworks
from training.metrics import confusion_matrix

INNER_FOLDS = 5
_OUTER, _INNER = 0, 1
"""Keep the random numbers of the two levels apart."""

People = tuple[str, ...]


def outer_folds(people: People, folds: int | None, seed: int) -> list[People]:
    """The test people of each fold; None leaves one person out at a time.

    Raises:
        DatasetError: too few people for the outer folds, or for the inner folds within one.
    """
    if folds is None:
        chosen: list[People] = [(person,) for person in people]
    else:
        if len(people) < folds:
            raise DatasetError(f"{len(people)} people", f"too few for {folds} folds by person")
        chosen = _split(people, folds, np.random.default_rng([seed, _OUTER]))
    training = len(people) - max(map(len, chosen))
    if training < INNER_FOLDS:
        raise DatasetError(
            f"{len(people)} people", f"too few: {training} to train on in a fold, {INNER_FOLDS} inner folds"
        )
    return chosen


def inner_folds(people: People, test: People, fold: int, folds: int, seed: int) -> list[People]:
    """The people of each inner fold: everybody but the test people."""
    training = tuple(person for person in people if person not in test)
    return _split(training, folds, np.random.default_rng([seed, _INNER, fold]))


def _split(people: People, folds: int, rng: np.random.Generator) -> list[People]:
    shuffled = rng.permutation(people).tolist()
    return [tuple(sorted(shuffled[first::folds])) for first in range(folds)]


def run_folds(
    cohort: Cohort, windows: Windows, variant: Variant, protocol: Protocol, folds: Sequence[tuple[int, People]]
) -> Iterator[Fold]:
    """Some outer folds of a variant, (number, test people) each, trained together; numbers seed their networks."""
    started = time.perf_counter()
    config = variant.config(cohort.classes)
    splits = [inner_folds(cohort.people, test, number, protocol.inner_folds, protocol.seed) for number, test in folds]
    inner = [
        Job(
            cohort.rows_of(_others(cohort.people, (*test, *stop)), alone=False),
            (protocol.seed, number, position),
            validation=cohort.rows_of(stop, alone=True),
        )
        for (number, test), split in zip(folds, splits, strict=True)
        for position, stop in enumerate(split)
    ]
    ran = [trained.epochs for trained in train_together(config, windows, inner, protocol)]
    by_fold = [tuple(ran[first : first + protocol.inner_folds]) for first in range(0, len(ran), protocol.inner_folds)]
    outer = [
        Job(
            cohort.rows_of(_others(cohort.people, test), alone=False),
            (protocol.seed, number, protocol.inner_folds),
            epochs=round(median(epochs)),
        )
        for (number, test), epochs in zip(folds, by_fold, strict=True)
    ]
    states = [trained.state for trained in train_together(config, windows, outer, protocol)]
    rows = [cohort.rows_of(test, alone=True) for _, test in folds]
    decide = predict(StackedNetworks(config, states), windows, rows)
    seconds = round((time.perf_counter() - started) / len(folds), 2)
    for (number, test), job, epochs, own, predicted in zip(folds, outer, by_fold, rows, decide, strict=True):
        confusion = {}
        for person in test:
            mine = cohort.person[own] == cohort.people.index(person)
            counts = confusion_matrix(cohort.target[own][mine], predicted[mine], len(cohort.classes))
            confusion[person] = tuple(map(tuple, counts.tolist()))
        yield Fold(number, test, job.epochs or 0, epochs, confusion, seconds)


def _others(people: People, without: People) -> People:
    return tuple(person for person in people if person not in without)
