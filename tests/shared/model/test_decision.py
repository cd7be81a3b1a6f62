"""Decisions for many windows are those for one."""

import numpy as np
import pytest

from shared.contracts.labels import HAR10, OTHER, decide, project
from shared.model.decision import decide_all, project_all

CLASSES = (*HAR10, OTHER)


@pytest.fixture(scope="module")
def probabilities():
    return np.random.default_rng(3).dirichlet(np.full(len(CLASSES), 0.3), 200)


def as_mapping(row):
    return dict(zip(CLASSES, row.tolist(), strict=True))


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_many_windows_are_decided_like_one(probabilities, threshold):
    found = decide_all(probabilities, CLASSES, threshold).tolist()
    assert found == [decide(as_mapping(row), threshold)[0] for row in probabilities]
    assert len(set(found)) == len(CLASSES)


def test_each_window_can_have_a_threshold_of_its_own(probabilities):
    thresholds = np.where(np.arange(200) % 2, 2.0, 0.0)
    found = decide_all(probabilities, CLASSES, thresholds)
    assert (found[1::2] == "unknown").all()
    np.testing.assert_array_equal(found[::2], decide_all(probabilities[::2], CLASSES))


@pytest.mark.parametrize("label_set", ["har2", "har7", "har10"])
def test_many_windows_are_summed_like_one(probabilities, label_set):
    sums, names = project_all(probabilities, CLASSES, label_set)
    for row, expected in zip(sums, map(as_mapping, probabilities), strict=True):
        assert dict(zip(names, row.tolist(), strict=True)) == pytest.approx(project(expected, label_set))
