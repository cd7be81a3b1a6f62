"""Does pre-training on unlabelled wrists help? With and without it, on few labels and on unknown devices.

Both networks of a pair have the same labelled people, seed and number of steps; they differ in the first weights of the
accelerometer's encoder alone. Differences are paired by person.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.contracts.labels import OTHER
from shared.model.network import NetworkConfig
from training.datasets import dataset_of, find_sources
from training.evaluation.evaluate import FOLDS, fold_of_people, is_tested
from training.metrics import uar, uar_by_person
from training.samples import Samples, collect, concatenate
from training.trainer.loop import fit, logits
from training.trainer.pretraining import PretrainingSettings, pretrain_encoder
from training.trainer.sampling import TrainingSettings

SHARES = (0.1, 0.3, 1.0)
"""Of the labelled people of each data set, at least one."""


class PretrainingOutcome(msgspec.Struct, frozen=True):
    """``test``: a fold or an unknown data set; ``people``: UAR of each over the activities that the person has."""

    test: str
    share: float
    pretrained: bool
    uar: float
    people: dict[str, float]


def read_unlabelled(datasets: Sequence[str]) -> Samples:
    """All windows of data sets (``KIND=DIR``); raises DatasetError."""
    parts = []
    for spec in datasets:
        recordings = [source.read() for source in find_sources(spec)]
        parts.append(collect(dataset_of(spec.partition("=")[0]), recordings, unlabelled=True))
    return concatenate(parts)


def compare_pretraining(
    samples: Samples,
    unlabelled: Samples,
    config: NetworkConfig,
    settings: TrainingSettings,
    pretraining: PretrainingSettings,
    *,
    folds: int,
    unknown: Sequence[str],
    processes: int = 1,
) -> Iterator[PretrainingOutcome]:
    """Yield the outcome of each network: the first ``folds`` of five by share of people, then ``unknown`` data sets."""
    encoder = pretrain_encoder(unlabelled, pretraining).weights
    jobs = []
    fold = fold_of_people(samples, FOLDS, settings.seed)
    for share in SHARES:
        for number in range(folds):
            chosen = (fold != number) & choose_people(samples, share, settings.seed)
            jobs.append((f"fold {number + 1} of {FOLDS}", share, chosen, fold == number))
    jobs += [(name, 1.0, samples.dataset != name, samples.dataset == name) for name in unknown]
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        pending = [
            pool.submit(_evaluate, test, share, samples.take(train), samples.take(rows), config, settings, weights)
            for test, share, train, rows in jobs
            for weights in (None, encoder)
        ]
        for future in pending:
            yield future.result()


def choose_people(samples: Samples, share: float, seed: int) -> NDArray[np.bool_]:
    """(n,) the windows of a share of each data set's people, of at least one; a smaller share is part of a larger."""
    rng = np.random.default_rng(seed)
    chosen: list[str] = []
    for dataset in np.unique(samples.dataset):
        people = rng.permutation(np.unique(samples.person[samples.dataset == dataset]))
        chosen += people[: max(1, round(share * len(people)))].tolist()
    return np.isin(samples.person, chosen)


def _evaluate(
    test: str,
    share: float,
    train: Samples,
    tested: Samples,
    config: NetworkConfig,
    settings: TrainingSettings,
    encoder: Mapping[str, Tensor] | None,
) -> PretrainingOutcome:
    network = fit(config, train, settings, encoder).network
    judged = tested.take(np.isin(tested.activity, [name for name in config.classes if name != OTHER]))
    judged = judged.take(is_tested(judged))
    truth, predicted = judged.targets(config.classes), logits(network, judged).argmax(axis=1)
    n = len(config.classes)
    by_person = uar_by_person(truth, predicted, judged.person, n)
    return PretrainingOutcome(test, share, encoder is not None, uar(truth, predicted, n), by_person)


def pretraining_table(outcomes: Sequence[PretrainingOutcome]) -> str:
    """Markdown: by test and share, UAR without and with, and the difference paired by person, ± twice its error."""
    rows = ["| test | people labelled | without | with | difference per person | |", "|---|---|---|---|---|---|"]
    known = [outcome for outcome in outcomes if outcome.test.startswith("fold")]
    groups = [("unknown people", share, [one for one in known if one.share == share]) for share in SHARES]
    groups += [
        (f"{name}, unknown device", 1.0, [one for one in outcomes if one.test == name])
        for name in dict.fromkeys(outcome.test for outcome in outcomes if outcome not in known)
    ]
    for name, share, group in groups:
        without, with_it = ([one for one in group if one.pretrained is flag] for flag in (False, True))
        if not without or not with_it:
            continue
        plain, trained = _people(without), _people(with_it)
        difference = np.array([trained[person] - plain[person] for person in plain])
        error = 2 * difference.std(ddof=1) / np.sqrt(len(difference))
        verdict = "noise" if abs(difference.mean()) <= error else "better" if difference.mean() > 0 else "worse"
        means = [f"{np.mean([one.uar for one in part]):.3f}" for part in (without, with_it)]
        rows.append(
            f"| {name} | {share:.0%} | {means[0]} | {means[1]} | {difference.mean():+.3f} ± {error:.3f} | {verdict} |"
        )
    return "\n".join(rows)


def _people(outcomes: Sequence[PretrainingOutcome]) -> dict[str, float]:
    return {person: value for outcome in outcomes for person, value in outcome.people.items()}
