"""The causal filter against the textbook's forward pass, and what it may know."""

import numpy as np

from shared.model.smoothing import smooth_probabilities

DRAWN = np.random.default_rng(5).dirichlet(np.ones(4), 30)
EVERY_20_S = np.arange(30, dtype=np.int64) * 20_000


def test_it_is_the_forward_pass_of_a_hidden_markov_model():
    stay, k = 0.8, 4
    transition = np.full((k, k), (1 - stay) / k) + stay * np.eye(k)
    belief, expected = np.full(k, 1 / k), []
    for row in DRAWN:
        belief = (belief @ transition if expected else belief) * row
        belief = belief / belief.sum()
        expected.append(belief)
    np.testing.assert_allclose(smooth_probabilities(EVERY_20_S, DRAWN, stay), expected)


def test_a_window_does_not_depend_on_later_ones():
    whole = smooth_probabilities(EVERY_20_S, DRAWN)
    np.testing.assert_allclose(smooth_probabilities(EVERY_20_S[:12], DRAWN[:12]), whole[:12])


def test_after_an_hour_the_past_has_faded():
    start_ms = np.array([0, 3_600_000])
    np.testing.assert_allclose(smooth_probabilities(start_ms, DRAWN[:2])[1], DRAWN[1], rtol=1e-6)


def test_a_single_deviation_is_outvoted():
    sure, once = np.array([0.9, 0.1]), np.array([0.3, 0.7])
    rows = np.array([sure, sure, sure, once, sure])
    assert (smooth_probabilities(EVERY_20_S[:5], rows).argmax(axis=1) == 0).all()


def test_certainties_that_contradict_each_other_leave_the_last_word_to_the_window():
    rows = np.array([[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_array_equal(smooth_probabilities(EVERY_20_S[:2], rows, stay=1.0), rows)
