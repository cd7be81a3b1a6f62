"""Evaluation of networks on unknown people and unknown data sets, and the numbers of a manifest."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shared.contracts.labels import OTHER
from shared.contracts.modality import WINDOW_MS
from shared.model.network import NetworkConfig
from training.evaluation.checkpoints import Checkpoints
from training.evaluation.predictions import HeldOutPredictions
from training.metrics import confusion_matrix, dataset_balanced_uar, recalls, uar, uar_by_person
from training.samples import Samples
from training.trainer.loop import detail_logits, fit, logits
from training.trainer.sampling import TrainingSettings

FOLDS = 5


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
    config: NetworkConfig,
    samples: Samples,
    settings: TrainingSettings,
    *,
    folds: int = FOLDS,
    withheld: Sequence[NDArray[np.bool_]] | None = None,
    processes: int = 1,
    checkpoints: Checkpoints | None = None,
) -> Iterator[HeldOutPredictions]:
    """Yield each fold when it is done; its people are tested with a network trained on the others.

    The number of steps is fixed, so the test people influence no choice. ``withheld``: per fold (n,) windows that its
    network is not trained on either. With ``checkpoints`` finished folds are not trained again.
    """
    fold = fold_of_people(samples, folds, settings.seed)
    withheld = withheld or [np.zeros(len(samples), dtype=bool)] * folds
    tests = [
        _Test(f"fold {number + 1} of {folds}", number, fold == number, (fold != number) & ~withheld[number])
        for number in range(folds)
    ]
    return _evaluate_tests(tests, config, samples, settings, processes, checkpoints)


def leave_one_dataset_out(
    config: NetworkConfig,
    samples: Samples,
    settings: TrainingSettings,
    *,
    processes: int = 1,
    checkpoints: Checkpoints | None = None,
) -> Iterator[HeldOutPredictions]:
    """Test each data set with two or more of the activities with a network trained on the others: an unknown device.

    Yields nothing if there is only one data set.
    """
    labelled = samples.of_classes([name for name in config.classes if name != OTHER])
    tests = [
        _Test(name, number, samples.dataset == name, samples.dataset != name)
        for number, name in enumerate(np.unique(labelled.dataset).tolist())
        if (labelled.dataset != name).any() and len(np.unique(labelled.activity[labelled.dataset == name])) > 1
    ]
    return _evaluate_tests(tests, config, samples, settings, processes, checkpoints)


@dataclass(frozen=True, slots=True, eq=False)
class _Test:
    """``rows``: (n,) the windows to test; ``train``: (n,) those that the network is trained on."""

    name: str
    number: int
    rows: NDArray[np.bool_]
    train: NDArray[np.bool_]


def _evaluate_tests(
    tests: Sequence[_Test],
    config: NetworkConfig,
    samples: Samples,
    settings: TrainingSettings,
    processes: int,
    checkpoints: Checkpoints | None,
) -> Iterator[HeldOutPredictions]:
    open_tests = []
    for test in tests:
        key = checkpoints.digest_of(config, settings, samples, test.train, test.name) if checkpoints else ""
        done = checkpoints.read(key, test.name, test.number, np.flatnonzero(test.rows), config) if checkpoints else None
        if done is not None:
            yield done
        else:
            open_tests.append((key, test))
    # The windows are taken late: one test's are in memory at a time.
    jobs = ((key, _arguments(test, config, samples, settings)) for key, test in open_tests)
    for key, done in _run_jobs(jobs, processes):
        if checkpoints:
            checkpoints.write(key, done)
        yield done


def _arguments(
    test: _Test, config: NetworkConfig, samples: Samples, settings: TrainingSettings
) -> tuple[str, int, NDArray[np.int64], NetworkConfig, Samples, Samples, TrainingSettings]:
    rows = np.flatnonzero(test.rows)
    return test.name, test.number, rows, config, samples.take(test.train), samples.take(rows), settings


def _run_jobs(jobs: Iterator[tuple[str, tuple[Any, ...]]], processes: int) -> Iterator[tuple[str, HeldOutPredictions]]:
    if processes == 1:
        for key, arguments in jobs:
            yield key, _evaluate_test(*arguments)
        return
    # One thread each: the networks are small. "spawn": torch's threads do not survive a fork.
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        keys = {pool.submit(_evaluate_test, *arguments): key for key, arguments in jobs}
        for future in as_completed(keys):
            yield keys[future], future.result()


def _evaluate_test(
    name: str,
    number: int,
    rows: NDArray[np.int64],
    config: NetworkConfig,
    train: Samples,
    test: Samples,
    settings: TrainingSettings,
) -> HeldOutPredictions:
    fitted = fit(config, train, settings)
    details = detail_logits(fitted, test) if fitted.details else None
    found = logits(fitted.network, test)
    return HeldOutPredictions(name, number, rows, found, fitted.detail_names, details, fitted.network)


def pool_predictions(samples: Samples, folds: Iterable[HeldOutPredictions]) -> NDArray[np.float64]:
    """(n, classes) logits of all folds, NaN for windows of none."""
    evaluation = list(folds)
    whole = np.full((len(samples), evaluation[0].logits.shape[1]), np.nan)
    for fold in evaluation:
        whole[fold.rows] = fold.logits
    return whole


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The tested windows, their logits (n, classes) and their class numbers (n,)."""

    samples: Samples
    logits: NDArray[np.float64]
    targets: NDArray[np.int64]

    def take(self, rows: NDArray[Any]) -> "Evaluation":
        """The windows that an index or bool array selects."""
        return Evaluation(self.samples.take(rows), self.logits[rows], self.targets[rows])

    def of_activities(self) -> "Evaluation":
        """Without the windows of ``OTHER``."""
        return self.take(self.samples.activity != OTHER)


def is_tested(samples: Samples) -> NDArray[np.bool_]:
    """(n,) the windows that do not overlap."""
    return np.equal(samples.start_ms % WINDOW_MS, 0)


def to_evaluation(samples: Samples, logits: NDArray[np.float64], config: NetworkConfig) -> Evaluation:
    """Select the tested windows of the classes."""
    rows = np.isin(samples.activity, config.classes) & is_tested(samples) & ~np.isnan(logits[:, 0])
    kept = samples.take(rows)
    return Evaluation(kept, logits[rows], kept.targets(config.classes))


def detail_uars(samples: Samples, folds: Sequence[HeldOutPredictions]) -> dict[str, float]:
    """Pooled UAR of each data set's own names, by the second head, where it has more of them than activities."""
    truth, decide = samples.detail.copy(), np.full(len(samples), "", dtype=samples.detail.dtype)
    for fold in folds:
        if fold.detail_logits is None:
            return {}
        names = np.array(fold.detail_names)
        own = np.char.partition(names, "/")[:, 0] == samples.dataset[fold.rows][:, None]
        decide[fold.rows] = names[np.where(own, fold.detail_logits, -np.inf).argmax(axis=1)]
    tested = (truth != "") & (samples.start_ms % WINDOW_MS == 0)
    found = {}
    for dataset in np.unique(samples.dataset[tested]).tolist():
        rows = tested & (samples.dataset == dataset)
        names = np.unique(truth[rows])
        if len(names) > len(np.unique(samples.activity[rows & (samples.activity != "")])):
            share = [float((decide[rows & (truth == name)] == name).mean()) for name in names]
            found[f"uar_of_{len(names)}_names.{dataset}"] = round(float(np.mean(share)), 4)
    return found


def summary(samples: Samples, predicted: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, float]:
    """The numbers of one measurement: pooled, by cell, mean over people, per data set and per class.

    Windows of ``OTHER`` do not count here; predicted for another window it is wrong. ``uar_mean_over_datasets``: over
    people, then over data sets, because half of the people have no more than two classes.
    """
    known = samples.activity != OTHER
    samples, predicted = samples.take(known), predicted[known]
    truth, n = samples.targets(classes), len(classes)
    by_person = uar_by_person(truth, predicted, samples.person, n)
    datasets = np.unique(samples.dataset).tolist()
    by_dataset = [
        np.mean([by_person[person] for person in np.unique(samples.person[samples.dataset == name]).tolist()])
        for name in datasets
    ]
    values = {
        "people": float(len(np.unique(samples.person))),
        "windows": float(len(samples)),
        "uar": uar(truth, predicted, n),
        "dataset_balanced_uar": dataset_balanced_uar(truth, predicted, samples.dataset, n),
        "uar_mean_over_people": float(np.mean(list(by_person.values()))),
        "uar_mean_over_datasets": float(np.mean(by_dataset)),
    }
    for name in datasets:
        chosen = samples.dataset == name
        values[f"uar.{name}"] = uar(truth[chosen], predicted[chosen], n)
    for name, recall in zip(classes, recalls(confusion_matrix(truth, predicted, n)).tolist(), strict=True):
        if not np.isnan(recall):
            values[f"recall.{name}"] = recall
    # A manifest is JSON, which has no NaN: values that cannot be computed are left out.
    return {name: round(value, 4) for name, value in values.items() if not np.isnan(value)}
