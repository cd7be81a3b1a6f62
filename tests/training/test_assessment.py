"""The measurements of a manifest, on logits whose scores are known."""

from dataclasses import replace

import numpy as np
import pytest

from shared.contracts.labels import HAR10, OTHER
from shared.model.network import FusionNetwork, NetworkConfig
from tests.training.separable_samples import made_up
from training.evaluation.assessment import assess, assess_folds, summarise_har7
from training.evaluation.calibration import Calibration
from training.evaluation.predictions import HeldOutPredictions

CLASSES = (*HAR10, OTHER)
CONFIG = NetworkConfig(CLASSES)
N = 440


def windows():
    """Ten people; each activity and "other" 20 times as pairs of windows that overlap, and details to match.

    The people of the first of five folds clap, all others brush their teeth.
    """
    activity = np.array(CLASSES)[np.arange(N) // 2 % 11]
    person = np.array([f"wisdm-{i // 44}" for i in range(N)])
    kinds = np.where(np.arange(N) // 44 % 5 == 0, "wisdm/clapping", "wisdm/teeth")
    detail = np.where(activity == OTHER, kinds, np.char.add("wisdm/", activity))
    start_ms = np.tile(np.arange(44, dtype=np.int64), 10) * 10_000
    return replace(
        made_up(N), activity=activity, detail=detail, person=person, start_ms=start_ms, dataset=np.array(["wisdm"] * N)
    )


def predicted(samples, right=0.9, seed=2):
    """Logits that are right in a share of the windows, else for walking."""
    rng = np.random.default_rng(seed)
    answers = np.where(rng.random(N) < right, samples.activity, "walking")
    return 6.0 * (answers[:, None] == np.array(CLASSES)) + rng.normal(0, 0.1, (N, len(CLASSES)))


def test_folds_give_every_measurement():
    samples = windows()
    logits, network = predicted(samples), FusionNetwork(CONFIG)
    fold_of = np.arange(N) // 44 % 5
    folds = []
    for number in range(5):
        rows = np.flatnonzero(fold_of == number)
        folds.append(HeldOutPredictions(str(number), number, rows, logits[rows], (), None, network))
    found = {key: values for key, _, values in assess_folds(samples, folds, CONFIG)}
    assert list(found) == ["", "_smoothed", "_har7", "_har7_smoothed", "_other"]
    assert found[""]["uar"] == pytest.approx(0.91, abs=0.04)
    assert found["_har7"]["windows"] == found[""]["windows"] * 7 / 10
    assert found["_smoothed"]["windows"] == found[""]["windows"]
    assert found["_other"]["named_active"] == pytest.approx(0.1, abs=0.1)
    # Clapping is not learnt by the first fold's network, teeth by the fourth's: two windows of two people each.
    assert found["_other"]["windows_unseen"] == 8


def test_folds_may_come_in_any_order():
    samples = windows()
    logits, network = predicted(samples), FusionNetwork(CONFIG)
    rows_of = [np.flatnonzero(np.arange(N) // 44 % 5 == number) for number in range(5)]
    folds = [HeldOutPredictions(str(i), i, rows_of[i], logits[rows_of[i]], (), None, network) for i in range(5)]
    one, other = (
        {key: values for key, _, values in assess_folds(samples, each, CONFIG)} for each in (folds, folds[::-1])
    )
    assert one == other


def test_a_har10_answer_that_har7_lacks_is_other_there():
    samples = windows().take(np.flatnonzero(windows().activity == "walking")[:4])
    probabilities = np.zeros((4, len(CLASSES)))
    for row, name in enumerate(("walking", "strength", "running", OTHER)):
        probabilities[row, CLASSES.index(name)] = 0.6
        probabilities[row, CLASSES.index("walking")] += 0.4
    values = summarise_har7(samples, probabilities, CLASSES)
    assert values["uar"] == 0.25
    # Among the seven alone, strength and other are walking.
    assert values["uar_of_seven"] == 0.75


def test_one_networks_windows_have_har7_and_other_beside_their_classes():
    samples = windows()
    values = assess(samples, predicted(samples, right=1.0), CONFIG, Calibration(1.0, 0.0))
    assert values["uar"] == values["har7.uar"] == values["other.auroc"] == 1.0
    assert values["other.named_active"] == 0.0


def test_a_data_set_without_the_seven_has_no_har7():
    samples = windows()
    strength = samples.activity == "strength"
    values = assess(samples.take(strength), predicted(samples)[strength], CONFIG, Calibration(1.0, 0.0))
    assert not [name for name in values if name.startswith("har7")]
