"""UAR by minutes since a user's first sample, and with the baseline of a first window."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shared.model.network import FusionNetwork, NetworkConfig
from tests.training.synthetic_samples import CLASSES, made_up
from training.evaluation.cold_start import (
    COLD_BASELINE,
    by_minutes,
    evaluate_cold_start,
    minutes_since_first,
    with_cold_baseline,
)
from training.evaluation.hand_crafted import raw_g
from training.trainer.loop import logits


def test_minutes_run_from_each_persons_first_window():
    samples = made_up(people=2, each=2)
    late = samples.person == "b-1"
    minutes = minutes_since_first(replace(samples, start_ms=samples.start_ms + 3_600_000 * late))
    np.testing.assert_allclose(minutes, np.tile(np.arange(6) / 3, 2))
    np.testing.assert_allclose(minutes_since_first(samples.take(np.arange(12)[::-1])), minutes[::-1])
    assert len(minutes_since_first(samples.take(np.array([], dtype=int)))) == 0


def test_recall_is_averaged_over_the_classes_that_occur_in_the_minutes():
    samples = made_up(people=2, each=6)  # Sitting in minutes 0 to 2, walking 2 to 4, running 4 to 6.
    predicted = samples.targets(CLASSES)
    predicted[np.flatnonzero(samples.activity == "running")[:3]] = 0
    rows = {row.minutes: row for row in by_minutes(minutes_since_first(samples), samples, predicted, CLASSES)}
    assert list(rows) == ["0-1", "1-2", "2-5", "5-15"]
    assert [row.windows for row in rows.values()] == [6, 6, 18, 6]
    assert rows["0-1"].recalls == {"sitting": 1.0}
    # In minutes 4 to 5 the first person runs in three windows, all of them missed.
    assert rows["2-5"].recalls == {"walking": 1.0, "running": pytest.approx(0.5)}
    assert rows["2-5"].uar == pytest.approx(0.75)
    assert (rows["5-15"].uar, rows["5-15"].people) == (1.0, 2)
    everything = by_minutes(minutes_since_first(samples), samples, predicted, CLASSES, since=(0,))
    assert [(row.minutes, row.windows) for row in everything] == [("0+", 36)]


def test_a_cold_baseline_is_the_windows_own_median():
    samples = made_up(people=2, each=2)
    cold = with_cold_baseline(samples)
    np.testing.assert_allclose(np.median(raw_g(samples), axis=2) * 1000, cold.baseline_mg, atol=0.51)
    np.testing.assert_allclose(raw_g(cold), raw_g(samples), atol=0.002)
    assert np.abs(np.median(cold.features["accelerometer"][:, :3], axis=2)).max() < 0.002
    np.testing.assert_array_equal(cold.features["accelerometer"][:, 3:], samples.features["accelerometer"][:, 3:])
    assert cold.features["accelerometer"].dtype == np.float16


def test_the_papers_encoder_depends_on_the_baseline_and_multi_scale_does_not():
    samples = made_up(people=2, each=2)
    torch.manual_seed(0)
    moved = {}
    for encoder in ("cnn", "multi_scale"):
        network = FusionNetwork(NetworkConfig(CLASSES, ("accelerometer",), encoder)).eval()
        live, cold = logits(network, samples), logits(network, with_cold_baseline(samples))
        moved[encoder] = np.abs(live - cold).max() / np.ptp(live, axis=0).max()  # Of what the windows differ by.
    assert moved["multi_scale"] < 0.02
    assert moved["cnn"] > 10 * moved["multi_scale"]


def test_the_replay_compares_the_same_windows():
    samples = made_up(people=4, each=2)

    def by_baseline(windows):
        """Right only where the baseline is the one that the windows came with."""
        same = np.array_equal(windows.baseline_mg, samples.baseline_mg)
        return windows.targets(CLASSES) * same

    live, cold = evaluate_cold_start(by_baseline, samples, CLASSES)
    assert (live.name, cold.name) == ("untouched", COLD_BASELINE)
    assert (live.uar, cold.uar, cold.difference) == pytest.approx((1.0, 1 / 3, -2 / 3))
