"""Drift against a bundle's reference, by numbers computed by hand."""

import math

import numpy as np
import pytest

from services.inference.drift import MIN_EVENTS, Drift, population_stability_index
from shared.model.manifest import Reference

DECILES = tuple(i / 10 for i in range(1, 10))
REFERENCE = Reference("made up", {"sitting": 0.5, "walking": 0.25, "unknown": 0.25}, DECILES, (0.1,) * 10)


@pytest.mark.parametrize(
    ("shares", "reference", "index"),
    [
        ([0.5, 0.5], [0.5, 0.5], 0.0),
        # 0.25 ln 2 - 0.25 ln(2/3) = 0.25 ln 3
        ([0.5, 0.5], [0.25, 0.75], 0.27465),
        # 0.1 ln 1.5 - 0.1 ln 0.8 - 0 = 0.1 (0.405465 + 0.223144)
        ([0.3, 0.4, 0.3], [0.2, 0.5, 0.3], 0.06286),
        # A share of 0 counts as 0.0001: (1 - 0.5) ln 2 + (0.0001 - 0.5) ln 0.0002 = 0.346574 + 4.257745
        ([1.0, 0.0], [0.5, 0.5], 4.60432),
    ],
)
def test_the_index_by_hand(shares, reference, index):
    assert population_stability_index(np.array(shares), np.array(reference)) == pytest.approx(index, abs=1e-5)


def test_the_same_as_in_training_is_no_drift():
    drift = Drift(REFERENCE)
    drift.add(["sitting", "sitting", "walking", "unknown"] * 50, [i / 20 + 0.025 for i in range(20)] * 10)
    assert drift.class_psi() == pytest.approx(0)
    assert drift.confidence_psi() == pytest.approx(0)


def test_everybody_sits_and_the_model_is_sure_of_it():
    drift = Drift(REFERENCE)
    drift.add(["sitting"] * 200, [0.95] * 200)
    # 0.5 ln 2 + 2 (0.0001 - 0.25) ln 0.0004
    assert drift.class_psi() == pytest.approx(0.5 * math.log(2) + 2 * (0.0001 - 0.25) * math.log(0.0004))
    assert drift.confidence_psi() == pytest.approx(0.9 * math.log(10) + 9 * (0.0001 - 0.1) * math.log(0.001))


def test_only_the_last_events_count():
    drift = Drift(REFERENCE, events=400)
    drift.add(["sitting"] * 300, [0.95] * 300)
    for _ in range(4):
        drift.add(["sitting", "sitting", "walking", "unknown"] * 25, [i / 20 + 0.025 for i in range(20)] * 5)
    assert drift.class_psi() == pytest.approx(0)
    assert drift.confidence_psi() == pytest.approx(0)


def test_too_few_events_say_nothing():
    drift = Drift(REFERENCE)
    drift.add(["sitting"] * (MIN_EVENTS - 1), [0.5] * (MIN_EVENTS - 1))
    assert math.isnan(drift.class_psi())
    drift.add(["sitting"], [0.5])
    assert drift.class_psi() > 1
    assert drift.confidence_psi() > 1


def test_a_bundle_without_a_reference_says_nothing():
    drift = Drift(None)
    drift.add(["sitting"] * 500, [0.5] * 500)
    assert math.isnan(drift.class_psi())
    assert math.isnan(drift.confidence_psi())
