"""Corrupted windows are those that a broken or turned watch gives; the table says what that costs."""

import numpy as np
import pytest

from shared.signal.features import accelerometer_features, heart_rate_features
from tests.training.synthetic_samples import CLASSES, made_up
from training.evaluation import corruption
from training.evaluation.corruption import CORRUPTIONS, evaluate_corruptions
from training.evaluation.hand_crafted import raw_g


@pytest.fixture
def samples():
    return made_up(people=4, each=3)


def test_every_corruption_changes_its_modality_alone(samples):
    for name, (modality, corrupt) in CORRUPTIONS.items():
        before = {key: array.copy() for key, array in samples.features.items()}
        corrupted = corrupt(samples)
        for key, array in samples.features.items():
            np.testing.assert_array_equal(array, before[key], err_msg=f"{name} changed what it was given")
            same = np.array_equal(corrupted.features[key], array)
            assert same == (key != modality), name
            assert corrupted.features[key].dtype == np.float16


def test_a_masked_heart_rate_stays_zeros(samples):
    masked = ~samples.mask[:, 1]
    for modality, corrupt in CORRUPTIONS.values():
        if modality == "heart_rate" and corrupt is not corruption.impute_heart_rate:
            assert not corrupt(samples).features["heart_rate"][masked].any()


def test_a_frozen_heart_rate_is_what_the_features_of_a_constant_are(samples):
    there = samples.mask[:, 1]
    first = samples.features["heart_rate"][there, 0, 0].astype(np.float64) * 220
    expected = heart_rate_features(np.repeat(first[:, None, None], 20, axis=2), np.zeros(there.sum()))
    np.testing.assert_allclose(corruption.freeze_heart_rate(samples).features["heart_rate"][there], expected, atol=1e-3)


def test_a_shifted_heart_rate_is_30_bpm_higher_and_rises_as_before(samples):
    shifted, was = corruption.shift_heart_rate(samples).features["heart_rate"], samples.features["heart_rate"]
    there = samples.mask[:, 1]
    higher = (shifted[there, 0].astype(float) - was[there, 0].astype(float)) * 220
    np.testing.assert_allclose(higher, 30, atol=0.3)
    np.testing.assert_array_equal(shifted[:, 1:], was[:, 1:])


def test_a_heart_rate_every_5_s_is_what_the_features_of_the_held_reading_are(samples):
    there = samples.mask[:, 1]
    bpm = samples.features["heart_rate"][there, :1].astype(np.float64) * 220
    held = bpm[:, :, [0] * 5 + [5] * 5 + [10] * 5 + [15] * 5]
    expected = heart_rate_features(held, np.zeros(there.sum()))
    found = corruption.thin_heart_rate(samples).features["heart_rate"][there]
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert len(np.unique(found[0, 0])) <= 4


def test_half_the_rate_keeps_every_second_sample_and_draws_lines_between(samples):
    was = samples.features["accelerometer"].astype(np.float64)
    slow = corruption.halve_rate(samples).features["accelerometer"].astype(np.float64)
    np.testing.assert_array_equal(slow[:, :3, ::2], was[:, :3, ::2])
    np.testing.assert_allclose(slow[:, :3, 1], (was[:, :3, 0] + was[:, :3, 2]) / 2, atol=2e-3)
    np.testing.assert_allclose(slow[:, 3:6, 1:], np.diff(slow[:, :3], axis=2), atol=4e-3)
    np.testing.assert_allclose(slow[:, 6:, 1:], np.diff(slow[:, 3:6], axis=2), atol=8e-3)
    assert not slow[:, 3:, 0].any()


def test_a_lent_heart_rate_is_another_persons(samples):
    donated = corruption.swap_heart_rate(samples).features["heart_rate"]
    for row in np.flatnonzero(samples.mask[:, 1]):
        lenders = samples.person[(samples.features["heart_rate"] == donated[row]).all(axis=(1, 2))]
        assert len(lenders)
        assert samples.person[row] not in lenders
    with pytest.raises(ValueError, match="1 people have a heart rate"):
        corruption.swap_heart_rate(samples.take(samples.person == "a-0"))


def test_imputed_heart_rate_is_a_measured_one_where_there_was_none(samples):
    imputed, there = corruption.impute_heart_rate(samples), samples.mask[:, 1]
    assert imputed.mask[:, 1].all()
    measured = {window.tobytes() for window in samples.features["heart_rate"][there]}
    assert {window.tobytes() for window in imputed.features["heart_rate"][~there]} <= measured
    np.testing.assert_array_equal(imputed.features["heart_rate"][there], samples.features["heart_rate"][there])


def test_a_network_that_takes_a_heart_rate_for_an_activity_is_found_out(samples):
    def by_presence(windows):
        return np.where(windows.mask[:, 1], 0, windows.targets(CLASSES))

    row = {row.name: row for row in evaluate_corruptions(by_presence, samples, CLASSES)}["heart rate imputed"]
    assert row.windows == np.count_nonzero(~samples.mask[:, 1])
    assert (row.people, row.difference) == (2, pytest.approx(-2 / 3))


@pytest.mark.parametrize(
    ("turn", "matrix"),
    [
        (corruption.turn_180, [[-1, 0, 0], [0, -1, 0], [0, 0, 1]]),
        (corruption.mirror_wrist, [[-1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (corruption.turn_90, [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
    ],
)
def test_a_turned_watch_gives_the_features_of_the_turned_signal(samples, turn, matrix):
    turned = turn(samples)
    mg = np.array(matrix) @ (raw_g(samples).astype(np.float64) * 1000)
    np.testing.assert_allclose(raw_g(turned) * 1000, mg, atol=0.01)
    # The features' smoothing and differences commute with a turn of the axes.
    debiased = accelerometer_features(mg, turned.baseline_mg)
    again = accelerometer_features(np.array(matrix) @ mg, turn(turned).baseline_mg)
    np.testing.assert_allclose(np.array(matrix) @ debiased[:, 3:6], again[:, 3:6], atol=1e-5)
    groups = samples.features["accelerometer"].reshape(len(samples), 3, 3, 500)
    expected = (np.array(matrix) @ groups.astype(np.float32)).reshape(len(samples), 9, 500)
    np.testing.assert_array_equal(turned.features["accelerometer"], expected)


def by_steps(samples):
    """Says sitting, walking or running by the steps alone."""
    return np.searchsorted([20, 50], samples.features["steps"][:, 0].sum(axis=1).astype(float))


def test_the_table_says_what_each_corruption_costs_and_how_it_varies(samples):
    table = {row.name: row for row in evaluate_corruptions(by_steps, samples, CLASSES)}
    assert list(table) == ["untouched", *CORRUPTIONS]
    assert (table["untouched"].windows, table["untouched"].people, table["untouched"].uar) == (36, 4, 1.0)
    for name in ("steps reset", "steps missing"):
        row = table[name]
        assert (row.uar, row.uar_mean) == pytest.approx((1 / 3, 1 / 3))
        assert (row.difference, row.difference_sd) == pytest.approx((-2 / 3, 0.0))
    # Two of four people have a heart rate: those are compared, and lose nothing.
    assert (table["heart rate frozen"].people, table["heart rate frozen"].difference) == (2, 0.0)


def test_the_spread_is_that_of_paired_people(samples):
    def fails_for_one(windows):
        broken = not windows.features["steps"].any()
        return np.where(broken & (windows.person == "a-0"), 0, windows.targets(CLASSES))

    row = {row.name: row for row in evaluate_corruptions(fails_for_one, samples, CLASSES)}["steps reset"]
    assert row.difference == pytest.approx(-2 / 3 / 4)
    assert row.difference_sd == pytest.approx(np.std([-2 / 3, 0, 0, 0], ddof=1))


@pytest.mark.parametrize("made", [{"people": 3, "heart_rate": False}, {"people": 2}])
def test_what_fewer_than_two_people_have_is_left_out(made):
    names = {row.name for row in evaluate_corruptions(by_steps, made_up(**made), CLASSES)}
    assert names == {"untouched"} | {name for name, (what, _) in CORRUPTIONS.items() if what != "heart_rate"}
