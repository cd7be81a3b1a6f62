"""The reference of a bundle: shares of its answers, tenths of its confidence."""

import numpy as np
import pytest

from training.evaluation.reference import reference


def test_shares_and_deciles_by_hand():
    confidence = np.array([0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    probabilities[::2] = probabilities[::2, ::-1]
    made = reference(probabilities, ("sitting", "walking"), 0.65, "eleven windows")
    # Two are below the threshold; of the nine others those in even places walk.
    assert made.activities == pytest.approx({"sitting": 4 / 11, "walking": 5 / 11, "unknown": 2 / 11}, abs=1e-6)
    assert made.confidence_deciles == pytest.approx(confidence[1:-1])
    # A tenth each, as far as eleven windows allow: the first lies alone, the last two are in the last tenth.
    assert made.confidence_shares == pytest.approx([1 / 11] * 9 + [2 / 11], abs=1e-6)
    assert made.measured_on == "eleven windows"


def test_windows_that_are_equally_sure_are_in_one_bin():
    probabilities = np.array([[0.5, 0.5]] + [[1.0, 0.0]] * 19)
    made = reference(probabilities, ("sitting", "walking"), 0.6, "twenty windows")
    assert made.confidence_deciles == (1.0,) * 9
    assert made.confidence_shares == pytest.approx([0.05, *[0.0] * 8, 0.95])
