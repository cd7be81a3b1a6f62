"""Hand-crafted features: known signals give known numbers, mirrored features are those of mirrored windows."""

import numpy as np
import pytest

from tests.training.synthetic_samples import CLASSES, made_up
from training.evaluation.corruption import mirror_wrist, turn_180
from training.evaluation.hand_crafted import mirror_features, raw_g, window_features


def test_raw_acceleration_does_not_depend_on_the_baseline():
    samples = made_up(people=2, each=2)
    sitting = samples.take(samples.activity == "sitting")
    length = np.linalg.norm(raw_g(sitting).mean(axis=2), axis=1)
    assert sitting.baseline_mg.std(axis=0).min() > 50
    by_person = [length[sitting.person == name] for name in np.unique(sitting.person)]
    assert max(np.ptp(lengths) for lengths in by_person) < 0.005


@pytest.mark.parametrize(("turn", "signs"), [(mirror_wrist, (-1, 1)), (turn_180, (-1, -1))])
def test_mirrored_features_are_those_of_mirrored_windows(turn, signs):
    samples = made_up(people=2, each=3)
    features = window_features(samples)
    np.testing.assert_allclose(mirror_features(features, *signs), window_features(turn(samples)), rtol=1e-3, atol=2e-3)
    assert not np.allclose(features, window_features(turn(samples)), atol=2e-3)
    np.testing.assert_array_equal(mirror_features(mirror_features(features, *signs), *signs), features)


def test_the_rhythm_is_found():
    samples = made_up(people=2, each=2)
    features = window_features(samples)
    for activity, hz in (("walking", 1.8), ("running", 2.8)):
        of_class = features[samples.activity == activity]
        assert (np.abs(of_class - hz) < 0.03).all(axis=0).any(), "no feature is the frequency of the strides"


def test_heart_rate_and_steps_stand_at_the_end_with_flags():
    samples = made_up(people=2, each=1)
    flagged = window_features(samples)[:, -5:]
    with_heart = samples.mask[:, 1]
    np.testing.assert_array_equal(flagged[:, 0] == 1, with_heart)
    # Person 0: 70 bpm and 25 more per class, rising by half a beat a second for 20 s.
    np.testing.assert_allclose(flagged[with_heart, 1], [4.75, 29.75, 54.75], atol=0.1)
    np.testing.assert_allclose(flagged[with_heart, 2], 0.5, atol=0.01)
    assert not flagged[~with_heart, 1:3].any()
    steps = dict(zip(samples.activity.tolist(), flagged[:, 4].tolist(), strict=True))
    assert [steps[name] for name in CLASSES] == [0, 38, 57]
    assert not window_features(samples.without("steps"))[:, -2:].any()


def test_all_numbers_are_finite_even_where_nothing_moves():
    samples = made_up(people=1, each=1)
    for array in samples.features.values():
        array[:] = 0
    samples.baseline_mg[:] = 0
    assert np.isfinite(window_features(samples)).all()


def test_windows_are_computed_one_by_one():
    samples = made_up(people=4, each=3)
    alone = window_features(samples.take(np.array([5])))
    np.testing.assert_allclose(window_features(samples)[[5]], alone, rtol=1e-4, atol=1e-4)


def test_no_windows():
    samples = made_up(people=1, each=1)
    with pytest.raises(ValueError, match="no windows"):
        window_features(samples.take(np.zeros(len(samples), dtype=bool)))
