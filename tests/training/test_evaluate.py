"""Unknown people, unknown data sets: who is evaluated by which network."""

from dataclasses import replace

import numpy as np
import pytest

from shared.contracts.labels import OTHER
from shared.model.network import NetworkConfig
from tests.training.separable_samples import CLASSES, QUICK, made_up
from training.evaluation.checkpoints import Checkpoints
from training.evaluation.evaluate import (
    cross_validate,
    fold_of_people,
    leave_one_dataset_out,
    pool_predictions,
    summary,
    to_evaluation,
)
from training.samples import Samples, concatenate
from training.trainer import loop


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


def test_a_fold_is_not_trained_on_what_is_withheld_from_it() -> None:
    samples, config = made_up(90), NetworkConfig(CLASSES)
    settings = replace(QUICK, steps=60)
    withheld = [samples.activity == name for name in CLASSES]
    folds = cross_validate(config, samples, settings, folds=3, withheld=withheld)
    for fold, name in zip(folds, CLASSES, strict=True):
        predicted = fold.logits.argmax(axis=1)
        assert CLASSES.index(name) not in predicted
        assert len(set(predicted.tolist())) == 2


def test_finished_tests_are_not_trained_again(tmp_path, monkeypatch) -> None:
    samples, config = concatenate([made_up(60), made_up(60, dataset="other")]), NetworkConfig(CLASSES)
    settings = replace(QUICK, steps=10)

    def evaluate(samples: Samples = samples) -> list[np.ndarray]:
        checkpoints = Checkpoints(tmp_path)
        folds = cross_validate(config, samples, settings, folds=2, checkpoints=checkpoints)
        sets = leave_one_dataset_out(config, samples, settings, checkpoints=checkpoints)
        return [np.concatenate([held.logits, held.detail_logits], axis=1) for held in (*folds, *sets)]

    first = evaluate()
    monkeypatch.setattr(loop, "FusionNetwork", None)
    for one, again in zip(first, evaluate(), strict=True):
        np.testing.assert_array_equal(one, again)
    # Other windows are another test.
    with pytest.raises(TypeError):
        evaluate(samples.without("steps"))


def test_the_networks_of_finished_tests_predict_the_same(tmp_path) -> None:
    samples, config = made_up(60), NetworkConfig(CLASSES, encoder="multi_scale")
    settings, checkpoints = replace(QUICK, steps=10), Checkpoints(tmp_path)
    for _ in range(2):
        for fold in cross_validate(config, samples, settings, folds=2, checkpoints=checkpoints):
            np.testing.assert_allclose(loop.logits(fold.network, samples.take(fold.rows)), fold.logits)


def test_windows_of_other_activities_do_not_count_and_calling_a_window_other_is_wrong() -> None:
    samples = made_up(6)
    samples = replace(samples, activity=np.array(["lying", "sitting", "lying", "sitting", OTHER, OTHER]))
    classes = ("lying", "sitting", OTHER)
    values = summary(samples, np.array([0, 1, 0, 2, 0, 2]), classes)
    assert values["windows"] == 4
    assert values["uar"] == pytest.approx(0.75)
    assert "recall.other" not in values


def test_the_mean_over_data_sets_weighs_a_small_one_like_a_large_one() -> None:
    samples = concatenate([made_up(36), made_up(18, dataset="small").take(np.arange(9))])
    predicted = samples.targets(CLASSES)
    predicted[samples.dataset == "small"] = 0
    values = summary(samples, predicted, CLASSES)
    assert values["uar_mean_over_people"] == pytest.approx((6 + 3 / 3) / 9, abs=1e-4)
    assert values["uar_mean_over_datasets"] == pytest.approx((1 + 1 / 3) / 2, abs=1e-4)
