"""Evaluation of networks on unknown people and unknown data sets, and the numbers of a manifest."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch
from numpy.typing import NDArray

from shared.contracts.modality import WINDOW_MS
from shared.model.network import FusionNetwork, NetworkConfig
from training.metrics import confusion_matrix, dataset_balanced_uar, recalls, uar, uar_by_person
from training.samples import Samples
from training.trainer.loop import detail_logits, fit, logits
from training.trainer.sampling import TrainingSettings

FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutPredictions:
    """Predictions for one fold by ``network``, which was trained on other people.

    ``rows``: which windows; ``logits``: (rows, classes); ``detail_logits``: (rows, ``detail_names``), if it has them.
    """

    name: str
    rows: NDArray[np.int64]
    logits: NDArray[np.float64]
    detail_names: tuple[str, ...]
    detail_logits: NDArray[np.float64] | None
    network: FusionNetwork


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
    config: NetworkConfig, samples: Samples, settings: TrainingSettings, *, folds: int = FOLDS, processes: int = 1
) -> Iterator[HeldOutPredictions]:
    """Yield each fold when it is done; its people are tested with a network trained on the others.

    The number of steps is fixed, so the test people influence no choice.
    """
    fold = fold_of_people(samples, folds, settings.seed)
    tests = {f"fold {number + 1} of {folds}": fold == number for number in range(folds)}
    return _evaluate_tests(tests, config, samples, settings, processes)


def leave_one_dataset_out(
    config: NetworkConfig, samples: Samples, settings: TrainingSettings, *, processes: int = 1
) -> Iterator[HeldOutPredictions]:
    """Test each data set with more than two of the classes with a network trained on the others: an unknown device.

    Yields nothing if there is only one data set.
    """
    labelled = samples.of_classes(config.classes)
    tests = {
        name: samples.dataset == name
        for name in np.unique(labelled.dataset).tolist()
        if (labelled.dataset != name).any() and len(np.unique(labelled.activity[labelled.dataset == name])) > 2
    }
    return _evaluate_tests(tests, config, samples, settings, processes)


def _evaluate_tests(
    tests: dict[str, NDArray[np.bool_]],
    config: NetworkConfig,
    samples: Samples,
    settings: TrainingSettings,
    processes: int,
) -> Iterator[HeldOutPredictions]:
    # One process: one fold's windows in memory at a time.
    if processes == 1:
        for name, test in tests.items():
            yield _evaluate_test(name, np.flatnonzero(test), config, samples.take(~test), samples.take(test), settings)
        return
    # One thread each: the networks are small. "spawn": torch's threads do not survive a fork.
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        futures = [
            pool.submit(
                _evaluate_test, name, np.flatnonzero(test), config, samples.take(~test), samples.take(test), settings
            )
            for name, test in tests.items()
        ]
        for future in as_completed(futures):
            yield future.result()


def _evaluate_test(
    name: str,
    rows: NDArray[np.int64],
    config: NetworkConfig,
    train: Samples,
    test: Samples,
    settings: TrainingSettings,
) -> HeldOutPredictions:
    fitted = fit(config, train, settings)
    details = detail_logits(fitted, test) if fitted.details else None
    return HeldOutPredictions(name, rows, logits(fitted.network, test), fitted.detail_names, details, fitted.network)


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


def to_evaluation(samples: Samples, logits: NDArray[np.float64], config: NetworkConfig) -> Evaluation:
    """Select the tested windows: those of the classes that do not overlap."""
    rows = np.isin(samples.activity, config.classes) & (samples.start_ms % WINDOW_MS == 0) & ~np.isnan(logits[:, 0])
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
    """The numbers of one measurement: pooled, by cell, mean over people, per data set and per class."""
    truth, n = samples.targets(classes), len(classes)
    values = {
        "people": float(len(np.unique(samples.person))),
        "windows": float(len(samples)),
        "uar": uar(truth, predicted, n),
        "cell_uar": dataset_balanced_uar(truth, predicted, samples.dataset, n),
        "uar_mean_over_people": float(np.mean(list(uar_by_person(truth, predicted, samples.person, n).values()))),
    }
    for name in np.unique(samples.dataset).tolist():
        chosen = samples.dataset == name
        values[f"uar.{name}"] = uar(truth[chosen], predicted[chosen], n)
    for name, recall in zip(classes, recalls(confusion_matrix(truth, predicted, n)).tolist(), strict=True):
        if not np.isnan(recall):
            values[f"recall.{name}"] = recall
    # A manifest is JSON, which has no NaN: values that cannot be computed are left out.
    return {name: round(value, 4) for name, value in values.items() if not np.isnan(value)}
