"""Unknown people, unknown data sets: who is evaluated by which network."""

from dataclasses import replace

import numpy as np
import pytest

from shared.model.network import NetworkConfig
from tests.training.separable_samples import CLASSES, QUICK, made_up
from training.evaluation.evaluate import (
    cross_validate,
    fold_of_people,
    leave_one_dataset_out,
    pool_predictions,
    summary,
    to_evaluation,
)
from training.samples import concatenate


def test_folds_share_no_person_and_spread_each_data_set() -> None:
    samples = concatenate([made_up(90), made_up(90, dataset="other")])
    fold = fold_of_people(samples, 3, seed=0)
    for person in np.unique(samples.person):
        assert len(set(fold[samples.person == person])) == 1
    for dataset in ("made_up", "other"):
        assert set(fold[samples.dataset == dataset]) == {0, 1, 2}
    with pytest.raises(ValueError, match="12 people"):
        fold_of_people(samples, 13, seed=0)


def test_cross_validation_evaluates_every_window_once() -> None:
    samples, config = made_up(90), NetworkConfig(CLASSES)
    folds = list(cross_validate(config, samples, QUICK, folds=3))
    assert [fold.name for fold in folds] == ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3"]
    found = pool_predictions(samples, folds)
    assert not np.isnan(found).any()
    evaluation = to_evaluation(samples, found, config)
    assert len(evaluation.samples) == 45  # every second window overlaps the one before
    assert summary(evaluation.samples, evaluation.logits.argmax(axis=1), CLASSES)["uar"] > 0.9


def test_each_data_set_is_evaluated_by_a_network_of_the_others() -> None:
    other = made_up(90, dataset="other")
    # Here the other set's words are swapped: who has learnt from the first set alone is wrong about it.
    swap = {"lying": "sitting", "sitting": "lying", "walking": "walking"}
    other = replace(other, activity=np.array([swap[name] for name in other.activity.tolist()]))
    samples, config = concatenate([made_up(90), other]), NetworkConfig(CLASSES)
    folds = {fold.name: fold for fold in leave_one_dataset_out(config, samples, QUICK, processes=2)}
    assert set(folds) == {"made_up", "other"}
    evaluation = to_evaluation(samples.take(folds["other"].rows), folds["other"].logits, config)
    uar = summary(evaluation.samples, evaluation.logits.argmax(axis=1), CLASSES)["uar"]
    assert uar == pytest.approx(1 / 3, abs=0.05)
