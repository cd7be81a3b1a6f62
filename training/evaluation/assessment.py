"""The numbers of a bundle's manifest: accuracy, smoothed accuracy, har7, and everything else that people do."""

from collections.abc import Iterator, Sequence

import numpy as np

from shared.contracts.labels import HAR7, HAR10, OTHER
from shared.model.decision import project_all
from shared.model.network import NetworkConfig
from shared.model.smoothing import STAY
from training.evaluation.calibration import (
    Calibration,
    confidence_metrics,
    cross_fit,
    select_calibrations,
)
from training.evaluation.evaluate import (
    detail_uars,
    is_tested,
    pool_predictions,
    summary,
    to_evaluation,
)
from training.evaluation.other import measure_other, withhold_groups
from training.evaluation.predictions import HeldOutPredictions
from training.evaluation.temporal import smooth_shuffled
from training.metrics import Floats
from training.samples import Samples


def assess_folds(
    samples: Samples, folds: Sequence[HeldOutPredictions], config: NetworkConfig
) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Yield (suffix of the key, addition to the protocol, values) of each measurement on the folds by person.

    Each fold's temperature and threshold are fitted on the other folds.
    """
    logits = pool_predictions(samples, folds)
    fold = np.full(len(samples), -1)
    for held_out in folds:
        fold[held_out.rows] = held_out.number
    evaluation, tested = to_evaluation(samples, logits, config), is_tested(samples)
    labelled = tested & np.isin(samples.activity, config.classes)
    by_fold = cross_fit(evaluation.logits, evaluation.targets, fold[labelled], config.classes)
    calibration = select_calibrations(by_fold, fold[labelled])
    probabilities = calibration.probabilities(evaluation.logits)
    smoothed = smooth_shuffled(evaluation.samples, probabilities)

    sure = confidence_metrics(evaluation.logits, evaluation.targets, calibration)
    values = summary(evaluation.samples, probabilities.argmax(axis=1), config.classes)
    yield "", "", values | {name: round(value, 4) for name, value in sure.items()} | detail_uars(samples, folds)
    by_filter = f"; smoothed ({STAY:g} per 20 s), bouts in a shuffled order"
    yield "_smoothed", by_filter, summary(evaluation.samples, smoothed.argmax(axis=1), config.classes)
    if set(config.classes) >= set(HAR10):
        yield "_har7", "; summed to har7", summarise_har7(evaluation.samples, probabilities, config.classes)
        har7_smoothed = summarise_har7(evaluation.samples, smoothed, config.classes)
        yield "_har7_smoothed", f"{by_filter}; summed to har7", har7_smoothed
    if OTHER in config.classes:
        every = select_calibrations(by_fold, fold[tested])
        withheld = np.stack(withhold_groups(samples, len(folds)))[fold, np.arange(len(samples))]
        values = measure_other(
            samples.take(tested),
            every.probabilities(logits[tested]),
            config.classes,
            every.abstain_below,
            withheld[tested],
        )
        yield "_other", "; what is none of the activities, one group of it unknown to each fold", values


def assess(samples: Samples, logits: Floats, config: NetworkConfig, calibration: Calibration) -> dict[str, float]:
    """The numbers of windows that one network predicts; those of everything else, if there are, begin with "other."."""
    evaluation = to_evaluation(samples, logits, config)
    values = summary(evaluation.samples, evaluation.logits.argmax(axis=1), config.classes)
    if set(config.classes) >= set(HAR10) and np.isin(evaluation.samples.activity, HAR7).any():
        har7 = summarise_har7(evaluation.samples, calibration.probabilities(evaluation.logits), config.classes)
        values |= {f"har7.{name}": value for name, value in har7.items() if name.startswith("uar")}
    if OTHER in evaluation.samples.activity:
        tested = is_tested(samples)
        other = measure_other(
            samples.take(tested),
            calibration.probabilities(logits[tested]),
            config.classes,
            calibration.abstain_below,
            np.zeros(int(tested.sum()), dtype=bool),
        )
        values |= {f"other.{name}": value for name, value in other.items()}
    return values


def summarise_har7(samples: Samples, probabilities: Floats, classes: Sequence[str]) -> dict[str, float]:
    """:func:`summary` of the windows of har7, by probabilities summed to it.

    ``uar_of_seven``: pooled, with the most probable of the seven, as a model that knows nothing else would answer.
    """
    rows = np.isin(samples.activity, HAR7)
    seven, names = project_all(probabilities[rows], classes, "har7")
    kept = samples.take(rows)
    values = summary(kept, seven.argmax(axis=1), names)
    among_seven = np.where(np.isin(names, HAR7), seven, -1.0).argmax(axis=1)
    return values | {"uar_of_seven": summary(kept, among_seven, names)["uar"]}
