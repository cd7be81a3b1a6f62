"""From recordings to labelled windows, through the live path."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.separable_samples import made_up
from training.corpus import of_label_set
from training.datasets.recording import BASE_MS, SECOND_WRIST_MS, Label, Recording
from training.samples import collect, concatenate


def test_targets_name_a_foreign_activity() -> None:
    with pytest.raises(ValueError, match="'walking' is none of lying, sitting"):
        made_up(3).targets(("lying", "sitting"))


def test_windows_come_from_the_live_path_with_emulated_steps() -> None:
    t_ms = BASE_MS + np.arange(0, 90_000, 40.0)
    wave = 500.0 * np.sin(2 * np.pi * 2.0 * (t_ms - BASE_MS) / 1000)
    mg = np.stack([np.zeros_like(wave), np.zeros_like(wave), 1000.0 + wave], axis=1)
    labels = (Label(BASE_MS + 20_000, BASE_MS + 60_000, "walking"),)
    recording = Recording("ann", "watch", "made up", "none", t_ms, mg, labels=labels)
    samples = collect("made_up", [recording])
    assert (samples.start_ms - BASE_MS).tolist() == [20_000, 30_000, 40_000]
    assert samples.person.tolist() == ["made_up-ann"] * 3
    assert samples.mask.tolist() == [[True, False, True]] * 3
    assert samples.features["steps"][:, 0, 1:].mean() == pytest.approx(2.0, abs=0.1)
    assert (samples.activity == "walking").all()
    assert (samples.detail == "").all()
    with pytest.raises(ValueError, match="made_up: no window"):
        collect("made_up", [Recording("bob", "watch", "made up", "none", t_ms, mg)])


def test_windows_with_the_sources_own_name_alone_are_kept_and_each_keeps_its_baseline() -> None:
    t_ms = BASE_MS + np.arange(0, 90_000, 40.0)
    mg = np.random.default_rng(0).normal([300, -30, 980], 50, (len(t_ms), 3))
    mg[len(mg) // 2 :, 0] -= 900.0
    labels = (Label(BASE_MS, BASE_MS + 40_000, "walking"),)
    details = (Label(BASE_MS, BASE_MS + 30_000, "slowly"), Label(BASE_MS + 50_000, BASE_MS + 80_000, "typing"))
    samples = collect("set", [Recording("ann", "watch", "", "", t_ms, mg, labels=labels, details=details)])
    assert (samples.start_ms - BASE_MS).tolist() == [0, 10_000, 20_000, 50_000, 60_000]
    assert samples.activity.tolist() == ["walking", "walking", "walking", "", ""]
    assert samples.detail.tolist() == ["set/slowly", "set/slowly", "", "set/typing", "set/typing"]
    # What was taken away and what is left are what was measured.
    assert len(np.unique(samples.baseline_mg, axis=0)) > 1
    for row, start_ms in enumerate(samples.start_ms):
        measured = mg[(t_ms >= start_ms) & (t_ms < start_ms + 20_000)].mean(axis=0)
        whole = samples.features["accelerometer"][row, :3].astype(float).mean(axis=1) * 1000 + samples.baseline_mg[row]
        np.testing.assert_allclose(whole, measured, atol=2)
    both = concatenate([samples, samples]).take(np.array([0, 8]))
    assert both.detail.tolist() == ["set/slowly", "set/typing"]
    np.testing.assert_array_equal(both.baseline_mg, samples.baseline_mg[[0, 3]])


def test_two_wrists_of_a_person_have_the_same_person_and_each_its_baseline() -> None:
    t_ms = BASE_MS + np.arange(0, 60_000, 40.0)
    noise = np.random.default_rng(0).normal(0, 50, (len(t_ms), 3))
    right = Recording("ann", "right", "", "", t_ms, noise + np.array([900, 0, 300]))
    right = replace(right, labels=(Label(BASE_MS, BASE_MS + 60_000, "walking"),))
    left = replace(right, device="left", accelerometer_mg=noise + np.array([-900, 0, 300]))
    left = replace(
        left,
        accelerometer_t_ms=t_ms + SECOND_WRIST_MS,
        labels=(Label(BASE_MS + SECOND_WRIST_MS, BASE_MS + SECOND_WRIST_MS + 60_000, "walking"),),
    )
    both, alone = collect("set", [right, left]), collect("set", [left])
    assert set(both.person.tolist()) == {"set-ann"}
    assert len(set(both.start_ms.tolist())) == len(both) == 2 * len(alone)
    np.testing.assert_array_equal(both.baseline_mg[len(alone) :], alone.baseline_mg)


def test_what_a_label_set_has_no_name_for_stays_only_with_a_name_of_its_own() -> None:
    samples = made_up(9)
    renamed = np.where(samples.activity == "lying", "washing_hands", samples.activity)
    samples = replace(samples, activity=renamed, detail=np.array(["made_up/washing", *[""] * 8]))
    assert of_label_set(samples, "har10").activity.tolist() == renamed.tolist()
    assert of_label_set(samples, "har7").activity.tolist() == ["", *["sitting", "walking"] * 3]
    assert of_label_set(samples, "har2").activity.tolist() == ["", *["static", "dynamic"] * 3]
    assert of_label_set(samples, "har7").detail[0] == "made_up/washing"
