"""Folds by person: nobody on both sides, and the test people decide nothing."""

from dataclasses import replace
from statistics import median

import numpy as np
import pytest

from tests.training.noise_cohort import cohort, protocol
from training.datasets import DatasetError
from training.experiment.nested import inner_folds, outer_folds, run_folds
from training.experiment.results import Variant
from training.experiment.stacked import Windows

PEOPLE = tuple(f"p{number}" for number in range(11))
VARIANT = Variant("cnn", ("heart_rate", "steps"), "concatenation")


@pytest.mark.parametrize("folds", [None, 2, 5])
def test_every_person_is_tested_once_and_is_in_no_inner_fold(folds: int | None) -> None:
    chosen = outer_folds(PEOPLE, folds, seed=3)
    assert len(chosen) == (folds or len(PEOPLE))
    assert sorted(person for fold in chosen for person in fold) == sorted(PEOPLE)
    for number, test in enumerate(chosen):
        inner = inner_folds(PEOPLE, test, number, 5, seed=3)
        assert len(inner) == 5
        assert sorted([person for fold in inner for person in fold] + list(test)) == sorted(PEOPLE)
    assert chosen == outer_folds(PEOPLE, folds, seed=3)


def test_too_few_people() -> None:
    with pytest.raises(DatasetError, match="11 people: too few for 12 folds by person"):
        outer_folds(PEOPLE, 12, 0)
    with pytest.raises(DatasetError, match="5 people: too few: 4 to train on in a fold, 5 inner folds"):
        outer_folds(PEOPLE[:5], None, 0)
    assert len(outer_folds(PEOPLE[:6], None, 0)) == 6


def test_the_test_people_decide_nothing() -> None:
    made_up, numbers = cohort(people=8), protocol(max_epochs=6)
    folds = list(enumerate(outer_folds(made_up.people, 3, 0)))
    before = list(run_folds(made_up, Windows.of(made_up, VARIANT.config(made_up.classes)), VARIANT, numbers, folds))
    for fold in before:
        strange = np.isin(made_up.person, [made_up.people.index(person) for person in fold.test_people])
        changed = replace(
            made_up,
            features={
                name: np.where(strange[:, None, None], 9, one).astype(np.float16)
                for name, one in made_up.features.items()
            },
            target=np.where(strange, 1, made_up.target),
        )
        windows = Windows.of(changed, VARIANT.config(changed.classes))
        (after,) = run_folds(changed, windows, VARIANT, numbers, [(fold.fold, fold.test_people)])
        assert (after.inner_epochs, after.epochs) == (fold.inner_epochs, fold.epochs)
        assert after.confusion != fold.confusion


def test_a_fold_says_what_was_done() -> None:
    made_up = cohort(people=8)
    folds = list(enumerate(outer_folds(made_up.people, 3, 0)))
    for fold in run_folds(
        made_up, Windows.of(made_up, VARIANT.config(made_up.classes)), VARIANT, protocol(max_epochs=6), folds
    ):
        assert fold.test_people == folds[fold.fold][1]
        assert len(fold.inner_epochs) == 5
        assert fold.epochs == median(fold.inner_epochs)
        assert set(fold.confusion) == set(fold.test_people)
        for person, matrix in fold.confusion.items():
            tested = made_up.target[made_up.rows_of((person,), alone=True)]
            assert np.sum(matrix, axis=1).tolist() == np.bincount(tested).tolist()
