"""The measures against hand-counted numbers."""

import numpy as np
import pytest

from training.metrics import confusion_matrix, dataset_balanced_uar, recalls, uar, uar_by_person

TRUTH = np.array([0, 0, 0, 0, 1, 1, 2])
SAID = np.array([0, 0, 0, 1, 1, 0, 2])


def test_confusion_matrix_has_truth_in_rows() -> None:
    np.testing.assert_array_equal(
        confusion_matrix(TRUTH, SAID, 4), [[3, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    )


def test_recalls_and_uar_are_those_counted_by_hand() -> None:
    np.testing.assert_array_equal(recalls(confusion_matrix(TRUTH, SAID, 4)), [0.75, 0.5, 1.0, np.nan])
    assert uar(TRUTH, SAID, 4) == pytest.approx((0.75 + 0.5 + 1.0) / 3)
    assert np.isnan(uar(TRUTH[:0], SAID[:0], 4))


def test_uar_by_person_counts_the_classes_that_the_person_has() -> None:
    person = np.array(["a", "a", "a", "b", "b", "b", "b"])
    assert uar_by_person(TRUTH, SAID, person, 3) == {"a": 1.0, "b": pytest.approx((0.0 + 0.5 + 1.0) / 3)}


def test_cell_uar_averages_over_the_sets_that_hold_a_class() -> None:
    dataset = np.array(["x", "x", "x", "y", "y", "y", "y"])
    # Class 0: 1.0 in x, 0.0 in y; class 1: 0.5 in y only; class 2: 1.0 in y only.
    assert dataset_balanced_uar(TRUTH, SAID, dataset, 3) == pytest.approx((0.5 + 0.5 + 1.0) / 3)
