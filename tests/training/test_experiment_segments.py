"""The paper's windows: equal to the live ones inside, filtered over their edges, never over a gap."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.contracts.labels import class_of
from tests.training.noise_cohort import recording
from training.datasets import DatasetError, Recording, write_recording
from training.datasets.recording import BASE_MS
from training.experiment.cohort import read_cohort
from training.experiment.exclusion import corrupt_pedometer
from training.experiment.segments import person_windows
from training.offline import offline_windows


def test_inside_a_window_the_features_are_the_live_ones() -> None:
    walk = recording([(20, 80, "walking")], seconds=120)
    windows = person_windows([walk], ["walking"], "causal")
    live = {w.raw.window_start_ms: w.record for w in offline_windows([walk]) if w.activity}
    assert windows is not None
    assert sorted(live) == [BASE_MS + start * 1000 for start in (20, 30, 40, 50, 60)]
    # The filter reaches four samples further, two differences two back.
    inside = {"accelerometer": slice(6, -4), "heart_rate": slice(2, None), "steps": slice(2, None)}
    for row, start_ms in enumerate(sorted(live)):
        for name, span in inside.items():
            paper, alone = windows.features[name][row], live[start_ms].features[name]
            np.testing.assert_allclose(paper[:, span], alone[:, span], atol=2e-3, err_msg=f"{name} {start_ms}")
    assert (
        np.abs(
            windows.features["accelerometer"][1, :, :6] - live[BASE_MS + 30_000].features["accelerometer"][:, :6]
        ).max()
        > 0.01
    )


def test_the_first_window_of_a_segment_sees_nothing_before_it() -> None:
    quiet, loud = recording([(20, 60, "walking")], seconds=80), recording([(20, 60, "walking")], seconds=80)
    loud.accelerometer_mg[: 20 * 25] += 3000
    # Compared to its own baseline, which the loud beginning moves: only differences.
    features = [person_windows([one], ["walking"], "causal").features["accelerometer"][:, 3:] for one in (quiet, loud)]
    np.testing.assert_array_equal(*features)


def test_every_second_window_stands_alone() -> None:
    walk = recording([(0, 60, "walking"), (60, 100, "sitting")], seconds=100)
    windows = person_windows([walk], ["sitting", "walking"], "causal")
    assert windows.activity.tolist() == ["walking"] * 5 + ["sitting"] * 3
    assert windows.alone.tolist() == [True, False, True, False, True, True, False, True]


def test_the_transductive_baseline_is_the_median_of_all_data() -> None:
    walk = recording([(60, 100, "walking")], seconds=120)
    walk.accelerometer_mg[:] = [100, -30, 980]
    walk.accelerometer_mg[: 50 * 25] += 500  # less than half, unlabelled
    windows = person_windows([walk], ["walking"], "transductive")
    assert not windows.features["accelerometer"].any()
    causal = person_windows([walk], ["walking"], "causal")
    assert np.abs(causal.features["accelerometer"][0, 0]).min() > 0.4


@pytest.mark.parametrize("baseline", ["transductive", "causal"])
def test_resting_gives_the_heart_rate_baseline_and_no_window(baseline: str) -> None:
    walk = recording([(0, 40, "resting"), (60, 100, "walking")], seconds=120)
    walk.heart_rate_bpm[:50], walk.heart_rate_bpm[50:] = 60, 93
    windows = person_windows([walk], ["walking"], baseline)
    assert set(windows.activity) == {"walking"}
    np.testing.assert_allclose(windows.features["heart_rate"][:, 0].astype(float), 33 / 220, atol=1e-3)


def without(one: Recording, modality: str, from_s: float, to_s: float) -> Recording:
    t_ms = getattr(one, f"{modality}_t_ms")
    kept = (t_ms < BASE_MS + from_s * 1000) | (t_ms >= BASE_MS + to_s * 1000)
    values = {"accelerometer": "mg", "heart_rate": "bpm", "steps": "total"}[modality]
    values = f"{modality}_{values}"
    return replace(one, **{f"{modality}_t_ms": t_ms[kept], values: getattr(one, values)[kept]})


@pytest.mark.parametrize(
    ("modality", "gap_s", "windows"),
    [
        ("accelerometer", 0.2, 5),
        ("accelerometer", 1.0, 3),
        ("heart_rate", 3.0, 5),
        ("heart_rate", 7.0, 3),
        ("heart_rate", 11.0, 2),
    ],
)
def test_no_window_lies_over_a_gap(modality: str, gap_s: float, windows: int) -> None:
    walk = without(recording([(0, 60, "walking")], seconds=80), modality, 30, 30 + gap_s)
    assert len(person_windows([walk], ["walking"], "causal").activity) == windows


def test_a_missing_modality_is_missing_and_nothing_at_all_is_none() -> None:
    walk = recording([(0, 60, "walking")], seconds=80)
    assert set(person_windows([without(walk, "heart_rate", 0, 80)], ["walking"], "causal").features) == {
        "accelerometer",
        "steps",
    }
    assert person_windows([walk], ["sitting"], "causal") is None
    assert person_windows([without(walk, "accelerometer", 15, 45)], ["walking"], "causal") is None


def test_corrupt_pedometers() -> None:
    walk = recording([(0, 70, "walking")], seconds=80)
    assert corrupt_pedometer([walk]) is None
    assert corrupt_pedometer([without(walk, "steps", 0, 80)]) is None
    reset = replace(walk, steps_total=np.where(np.arange(80) < 40, walk.steps_total, np.arange(80) - 40))
    assert corrupt_pedometer([reset]) is None
    still = replace(walk, steps_total=np.full(80, 4000))
    assert corrupt_pedometer([still]) == "corrupt pedometer: it counts no step in 1.2 min on foot"
    assert corrupt_pedometer([replace(still, labels=recording([(0, 70, "sitting")], seconds=80).labels)]) is None
    fallen = replace(walk, steps_total=walk.steps_total - np.where(np.arange(80) < 40, 0, 500))
    assert "falls from" in (corrupt_pedometer([fallen]) or "")


def test_har2_is_movement() -> None:
    assert [class_of("har2", name) for name in ("cycling", "lying", "strength", "resting")] == [
        "dynamic",
        "static",
        None,
        None,
    ]
    assert [class_of("har7", name) for name in ("cycling", "strength", "resting")] == ["cycling", None, None]
    assert class_of("har10", "strength") == "strength"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    both = [(0.0, 80.0, "sitting"), (90.0, 170.0, "walking")]
    cases = {
        "a": recording(both, seconds=170, person="a"),
        "b-1": recording(both[:1], seconds=100, person="b", seed=1),
        "b-2": recording(both[1:], seconds=170, person="b", seed=2),
        "one-class": recording(both[:1], seconds=100),
        "unlabelled": recording([], seconds=60),
        "few": recording([(0, 25, "sitting"), (30, 55, "walking")], seconds=60),
        "short": recording([(0, 15, "sitting"), (30, 45, "walking")], seconds=60),
        "other-task": recording([(0, 60, "strength")], seconds=60),
        "corrupt": replace(recording(both, seconds=170), steps_total=np.full(170, 9)),
        "no-heart": without(recording(both, seconds=170), "heart_rate", 0, 170),
    }
    for name, one in cases.items():
        one = one if one.person != "p" else replace(one, person=name)
        write_recording(tmp_path / name, one)
    return tmp_path


def test_who_takes_part_and_why_the_others_do_not(people: Path) -> None:
    cohort = read_cohort(f"recordings={people}", "har2", "causal", None)
    assert cohort.people == ("a", "b")
    assert cohort.synthetic
    assert cohort.classes == ("static", "dynamic")
    assert [len(cohort.rows_of((person,), alone=False)) for person in cohort.people] == [14, 14]
    assert len(cohort.rows_of(("a",), alone=True)) == 8
    assert {name: len(array) for name, array in cohort.features.items()} == {
        "accelerometer": 28,
        "heart_rate": 28,
        "steps": 28,
    }
    assert cohort.left_out == {
        "corrupt": "corrupt pedometer: it counts no step in 1.3 min on foot",
        "few": "too few windows: 2 without overlap, 5 needed",
        "no-heart": "no heart rate",
        "one-class": "one class only: static",
        "other-task": "no window of 20 s of har2",
        "short": "no window of 20 s of har2",
        "unlabelled": "nothing is labelled",
    }


def test_a_cap_leaves_so_many_minutes_of_each_activity(people: Path) -> None:
    cohort = read_cohort(f"recordings={people}", "har2", "causal", 1.0)
    rows = cohort.rows_of(("a",), alone=True)
    assert np.bincount(cohort.target[rows]).tolist() == [3, 3]


def test_nobody_left_is_an_error_that_says_why(people: Path) -> None:
    with pytest.raises(DatasetError, match=r"nobody has windows of two classes of har2 .*short: no window of 20 s"):
        read_cohort(f"recordings={people / 'short'}", "har2", "causal", None)
