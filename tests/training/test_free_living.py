"""Unlabelled recordings: quiet windows, and what a bundle calls them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from training.datasets.recording import BASE_MS, Recording
from training.evaluation.free_living import measure_free_living

CLASSES = ("sitting", "walking", "cycling", "other")


def ten_minutes(swing_mg: float) -> Recording:
    t_ms = BASE_MS + np.arange(15_000) * 40.0
    mg = np.zeros((15_000, 3))
    mg[:, 2] = 1000 + swing_mg * np.sin(np.arange(15_000) / 3)
    return Recording("p", "watch", "made up", "none", t_ms, mg)


def answering(*probabilities: float) -> SimpleNamespace:
    """A bundle that answers every window alike."""
    row = np.array(probabilities)
    return SimpleNamespace(
        classes=CLASSES,
        abstain_below=0.4,
        probabilities=lambda features, *_: np.tile(row, (len(features), 1)),
    )


def test_a_still_wrist_that_is_called_active_is_counted_by_the_hour():
    found = measure_free_living([ten_minutes(5), replace(ten_minutes(300), device="b")], answering(0.0, 0.0, 0.9, 0.1))
    assert found.hours == pytest.approx(1 / 3, abs=0.02)
    assert found.quiet_hours == pytest.approx(found.hours / 2)
    assert (found.active_when_quiet, found.cycling, found.sure_cycling) == (60, 60, 60)
    assert found.answers == {"cycling": 1.0}


@pytest.mark.parametrize(
    ("probabilities", "answer"), [((0.0, 0.3, 0.1, 0.6), "unknown"), ((0.9, 0.1, 0.0, 0.0), "sitting")]
)
def test_what_is_unknown_or_still_is_no_false_activity(probabilities, answer):
    found = measure_free_living([ten_minutes(5)], answering(*probabilities))
    assert (found.active_when_quiet, found.cycling, found.answers) == (0.0, 0.0, {answer: 1.0})


def test_no_window_at_all_is_an_error():
    with pytest.raises(ValueError, match="no window"):
        measure_free_living([], answering(1.0, 0.0, 0.0, 0.0))
