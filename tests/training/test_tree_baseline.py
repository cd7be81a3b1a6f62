"""Trees on hand-crafted features: blind by person and by data set, mirrored or not."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.synthetic_samples import CLASSES, made_up
from training.evaluation import tree_baseline
from training.evaluation.corruption import turn_180
from training.evaluation.evaluate import fold_of_people
from training.evaluation.hand_crafted import window_features
from training.evaluation.tree_baseline import TreeModel, cross_validate, leave_one_dataset_out


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(tree_baseline, "ROUNDS", 10)
    monkeypatch.setattr(tree_baseline, "FOREST_TREES", 20)


@pytest.mark.parametrize("trees", ["boosted", "forest"])
def test_people_never_seen_are_recognised(trees):
    samples = made_up(people=6, each=8)
    probabilities = cross_validate(samples, CLASSES, folds=3, trees=trees, mirrored=False)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == samples.targets(CLASSES)).mean() > 0.9


@pytest.fixture
def taught(monkeypatch):
    """Trees that learn nothing; their lessons are kept."""
    lessons = []

    def fit(self, features, activity):
        lessons.append(features)
        return self

    monkeypatch.setattr(TreeModel, "fit", fit)
    monkeypatch.setattr(TreeModel, "probabilities", lambda self, features: np.zeros((len(features), len(CLASSES))))
    return lessons


def test_nobody_is_taught_and_tested_at_once(taught):
    samples = made_up(people=6, each=2)
    rows = np.arange(len(samples), dtype=np.float32)[:, None]
    cross_validate(samples, CLASSES, folds=3, seed=4, features=rows)
    fold = fold_of_people(samples, 3, 4)
    assert len(taught) == 3
    for number, lesson in enumerate(taught):
        np.testing.assert_array_equal(lesson[:, 0], np.flatnonzero(fold != number))


def test_data_set_with_more_than_two_classes_is_evaluated_by_the_others(taught):
    samples = made_up(people=6, each=2, datasets=("a", "b", "c"))
    samples = samples.take((samples.dataset != "c") | (samples.activity != "running"))
    rows = np.arange(len(samples), dtype=np.float32)[:, None]
    probabilities = leave_one_dataset_out(samples, CLASSES, features=rows)
    np.testing.assert_array_equal(np.isnan(probabilities).any(axis=1), samples.dataset == "c")
    for name, lesson in zip(("a", "b"), taught, strict=True):
        np.testing.assert_array_equal(lesson[:, 0], np.flatnonzero(samples.dataset != name))


def test_overlapping_windows_and_other_activities_are_evaluated_and_not_trained_on(taught):
    samples = made_up(people=6, each=2)
    samples = replace(samples, start_ms=samples.start_ms + 10_000 * (np.arange(len(samples)) % 2))
    rows = np.arange(len(samples), dtype=np.float32)[:, None]
    assert not np.isnan(cross_validate(samples, CLASSES, folds=3, features=rows)).any()
    assert all((lesson % 2 == 0).all() for lesson in taught)


def test_mirrored_trees_do_not_care_how_the_watch_is_turned():
    samples = made_up(people=4, each=6)
    features, turned = window_features(samples), window_features(turn_180(samples))
    model = TreeModel("boosted", CLASSES).fit(features, samples.activity)
    np.testing.assert_allclose(model.probabilities(features), model.probabilities(turned), atol=0.05)
    np.testing.assert_allclose(model.probabilities(features).sum(axis=1), 1)


def test_a_class_that_did_not_occur_is_never_said():
    samples = made_up(people=2, each=4)
    known = samples.take(samples.activity != "walking")
    model = TreeModel("forest", CLASSES).fit(window_features(known), known.activity)
    assert not model.probabilities(window_features(samples))[:, CLASSES.index("walking")].any()
    with pytest.raises(ValueError, match="no window is of the classes"):
        TreeModel("forest", ("lying",)).fit(window_features(known), known.activity)
