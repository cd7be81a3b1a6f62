"""Smoothed predictions of bouts in a shuffled order."""

from dataclasses import replace

import numpy as np

from shared.model.smoothing import smooth_probabilities
from tests.training.separable_samples import made_up
from training.evaluation.temporal import smooth_shuffled

N = 120


def bouts_of_ten():
    """Two people, each three activities in bouts of ten windows, twice."""
    activity = np.repeat(np.tile(["lying", "sitting", "walking"], 4), 10)
    person = np.repeat(["made_up-a", "made_up-b"], N // 2)
    start_ms = np.tile(np.arange(N // 2, dtype=np.int64), 2) * 20_000
    return replace(made_up(N), activity=activity, detail=activity, person=person, start_ms=start_ms)


def probabilities_of(samples, seed=1):
    truth = np.array([["lying", "sitting", "walking"].index(name) for name in samples.activity])
    logits = np.random.default_rng(seed).normal(size=(N, 3))
    logits[np.arange(N), truth] += 1.0
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), truth


def test_it_helps_within_a_bout_and_the_rows_keep_their_places():
    samples = bouts_of_ten()
    probabilities, truth = probabilities_of(samples)
    smoothed = smooth_shuffled(samples, probabilities)
    np.testing.assert_allclose(smoothed.sum(axis=1), 1.0)
    assert (smoothed.argmax(axis=1) == truth).mean() > (probabilities.argmax(axis=1) == truth).mean() + 0.1


def test_the_order_of_the_protocol_is_not_used():
    samples = bouts_of_ten()
    probabilities, _ = probabilities_of(samples)
    in_order = np.concatenate(
        [smooth_probabilities(samples.start_ms[rows], probabilities[rows]) for rows in np.split(np.arange(N), 2)]
    )
    first, second = (smooth_shuffled(samples, probabilities, seed=seed) for seed in (0, 1))
    assert not np.allclose(first, in_order)
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, smooth_shuffled(samples, probabilities, seed=0))
