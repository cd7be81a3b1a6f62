"""harAGE's layout as it is documented, on a made-up cohort: both formats alike, every fault named with its file."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.synthetic_harage import MOTIONS, NOTE, write_cohort
from training.datasets import DatasetError, open_dataset
from training.datasets.recording import BASE_MS, Recording

TWO = ("resting", "walking_low")


def the_one(root: Path) -> Recording:
    (recording,) = open_dataset(f"harage={root}")
    return recording


def test_a_participant_is_one_recording_with_a_label_per_file(tmp_path):
    first, second = open_dataset(f"harage={write_cohort(tmp_path, people=2, minutes=0.5)}")
    assert (first.person, second.person) == ("P01", "P02")
    assert [label.activity for label in first.labels] == [
        *("resting", "lying", "sitting", "standing", "washing_hands", "walking", "running"),
        *("stairs", "strength", "flexibility", "cycling"),
    ]
    assert [label.intensity for label in first.labels if label.intensity] == ["low"]
    assert all(label.end_ms - label.start_ms == 30_000 for label in first.labels)
    assert len(first.accelerometer_mg) == 25 * 30 * len(MOTIONS)
    assert len(first.heart_rate_bpm) == len(first.steps_total) == 30 * len(MOTIONS)
    assert (np.diff(first.accelerometer_t_ms) > 0).all()


def test_a_made_up_cohort_says_so(tmp_path):
    recording = the_one(write_cohort(tmp_path, people=1, minutes=0.1, activities=TWO))
    assert recording.synthetic
    assert recording.notes == {"synthetic": NOTE}
    assert "SYNTHETIC" in recording.source
    (tmp_path / "about.json").unlink()
    real = the_one(tmp_path)
    assert not real.synthetic
    assert (real.source, real.licence) == ("harAGE (Mallol-Ragolta et al. 2021)", "on request from the authors")


@pytest.mark.parametrize("layout", ["csv", "json.gz"])
def test_every_format_gives_the_same_recording(tmp_path, layout):
    expected = the_one(write_cohort(tmp_path / "json", people=1, minutes=0.2, activities=TWO))
    recording = the_one(write_cohort(tmp_path / "other", people=1, minutes=0.2, activities=TWO, layout=layout))
    for name in ("accelerometer_t_ms", "accelerometer_mg", "heart_rate_bpm", "steps_t_ms", "steps_total"):
        np.testing.assert_array_equal(getattr(recording, name), getattr(expected, name))
        assert getattr(recording, name).dtype == getattr(expected, name).dtype
    assert recording.labels == expected.labels


def one_file(root: Path, name: str = "sitting", **modalities: object) -> Path:
    folder = root / "P01"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(
        json.dumps(
            {"accelerometer": {"t_ms": [BASE_MS, BASE_MS + 40], "x": [1, 2], "y": [3, 4], "z": [5, 6]}} | modalities
        )
    )
    return path


def test_null_is_no_reading_and_modalities_may_be_absent(tmp_path):
    one_file(tmp_path, heart_rate={"t_ms": [BASE_MS, BASE_MS + 1000], "bpm": [None, 71]})
    recording = the_one(tmp_path)
    assert recording.heart_rate_bpm.tolist() == [0, 71]
    assert len(recording.steps_total) == 0
    assert recording.accelerometer_mg.tolist() == [[1, 3, 5], [2, 4, 6]]


@pytest.mark.parametrize("name", ["Stairs Climbing", "stairs-climbing_high", "stairs"])
def test_names_of_the_papers_and_ours(tmp_path, name):
    one_file(tmp_path, name)
    assert the_one(tmp_path).labels[0].activity == "stairs"


@pytest.mark.parametrize(
    ("modalities", "fault"),
    [
        ({"accelerometer": None}, "accelerometer has no samples"),
        ({"accelerometer": {"t_ms": [0], "x": [1], "y": [2]}}, "accelerometer is not an object with t_ms, x, y, z"),
        (
            {"accelerometer": {"t_ms": [BASE_MS, BASE_MS + 40], "x": [1, 2], "y": [1], "z": [1, 2]}},
            "accelerometer has 2 t_ms and 1 y",
        ),
        (
            {"accelerometer": {"t_ms": [BASE_MS, BASE_MS + 40], "x": [1, 2], "y": [1, "two"], "z": [1, 2]}},
            r"accelerometer.y\[1\] is not a number: 'two'",
        ),
        (
            {"accelerometer": {"t_ms": [BASE_MS, BASE_MS + 40], "x": [1, 2], "y": [float("nan"), 2], "z": [1, 2]}},
            r"accelerometer.y\[0\] is not a number: 'nan'",
        ),
        (
            {"accelerometer": {"t_ms": [BASE_MS, BASE_MS + 40], "x": [1, 10**400], "y": [1, 2], "z": [1, 2]}},
            r"accelerometer.x\[1\] is not a number: '1000",
        ),
        (
            {"heart_rate": {"t_ms": [BASE_MS, BASE_MS + 1000], "bpm": [70, -1]}},
            r"heart_rate.bpm\[1\]: bpm is -1, expected a number from 0 to 255",
        ),
        ({"steps": {"t_ms": [BASE_MS], "total": [1.5]}}, r"steps.total\[0\]: total is 1.5, expected a whole number"),
        ({"steps": {"t_ms": [0], "total": 4}}, "steps.total is not an array"),
        ({"steps": {"t_ms": [[0], [1, 2]], "total": [1, 2]}}, r"steps.t_ms\[0\] is not a number"),
        ({"heart_rate": {"t_ms": [BASE_MS], "bpm": [300]}}, r"heart_rate.bpm\[0\]: bpm is 300, expected a number"),
        ({"steps": {"t_ms": [BASE_MS], "total": [2**31]}}, r"steps.total\[0\]: total is 2147483648, expected a whole"),
        ({"steps": {"t_ms": [BASE_MS / 1000], "total": [4]}}, r"steps.t_ms\[0\]: .* looks like seconds"),
        (
            {"accelerometer": {"t_ms": [BASE_MS + 40 * i for i in range(60)]} | {a: [0.6] * 60 for a in "xyz"}},
            "accelerometer: x,y,z have a median magnitude of 1.04: that looks like g, not mg; multiply by 1000",
        ),
        ({"gyroscope": {}}, "unknown field 'gyroscope'"),
    ],
)
def test_a_fault_in_json_is_named_with_its_file(tmp_path, modalities, fault):
    path = one_file(tmp_path, **modalities)
    with pytest.raises(DatasetError, match=f"^{path}: {fault}"):
        the_one(tmp_path)


def test_faults_of_files_are_named(tmp_path):
    with pytest.raises(DatasetError, match=f"^{tmp_path}: no PARTICIPANT/ACTIVITY.json"):
        open_dataset(f"harage={tmp_path}")
    path = one_file(tmp_path)
    path.write_text('{"accelerometer":\n{"t_ms": [0, ]}}')
    with pytest.raises(DatasetError, match=f"^{path}:2: "):
        the_one(tmp_path)
    unknown = one_file(tmp_path, "juggling")
    with pytest.raises(DatasetError, match=f"^{unknown}: unknown activity 'juggling', known are lying"):
        the_one(tmp_path)


def test_csv_faults_are_named_with_their_line(tmp_path):
    folder = write_cohort(tmp_path, people=1, minutes=0.1, activities=("sitting",), layout="csv") / "P01"
    acceleration = folder / "sitting.accelerometer.csv"
    acceleration.write_text(f"t_ms,x,y,z\n{BASE_MS},1,2,3\n{BASE_MS + 40},1,x,3\n")
    with pytest.raises(DatasetError, match=f"^{acceleration}:3: y is not a number: 'x'"):
        the_one(tmp_path)
    acceleration.unlink()
    with pytest.raises(DatasetError, match=f"^{acceleration}: no such file"):
        the_one(tmp_path)


def test_activities_that_overlap_are_refused(tmp_path):
    one_file(tmp_path, "sitting")
    one_file(tmp_path, "walking")
    with pytest.raises(DatasetError, match="P01: walking begins before sitting has ended"):
        the_one(tmp_path)


@pytest.mark.parametrize("about", ['{"source": 3}', '{"notes": {"synthetic": true}}', '{"sauce": "x"}', "[]"])
def test_a_malformed_about_is_refused(tmp_path, about):
    one_file(tmp_path)
    (tmp_path / "about.json").write_text(about)
    with pytest.raises(DatasetError, match=str(tmp_path / "about.json")):
        the_one(tmp_path)
