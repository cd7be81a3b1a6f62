"""The layout of personNN.csv.gz with index.csv, and the data sets that have it."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from shared.contracts.labels import OTHER
from training.datasets import (
    DatasetError,
    Recording,
    berkeley_mhad,
    find_sources,
    harlab,
    open_dataset,
    physio,
    seglearn_watch,
    umafall,
    uwash,
)
from training.datasets.cut import PAUSE_MS
from training.datasets.recording import ACTIVITIES, BASE_MS, SECOND_WRIST_MS

HEADER = "rec,t_ms,x_mg,y_mg,z_mg\n"
DATASETS = [module.DATASET for module in (uwash, seglearn_watch, physio, umafall, berkeley_mhad, harlab)]


def trial(rec: int, seconds: float, mg: str = "1000,20,-100", step_ms: int = 40) -> str:
    return "".join(f"{rec},{t_ms},{mg}\n" for t_ms in range(0, int(seconds * 1000), step_ms))


def write(root: Path, trials: str, index: list[str], more: str = "") -> Path:
    """One person, 01, and its index; ``more``: another column of the index."""
    path = root / "person01.csv.gz"
    path.write_bytes(gzip.compress((HEADER + trials).encode()))
    columns = f"rec,person,activity{',' if more else ''}{more}"
    (root / "index.csv").write_text("\n".join([columns, *index]) + "\n")
    return path


def only(kind: str, root: Path) -> Recording:
    (recording,) = open_dataset(f"{kind}={root}")
    return recording


def spans(labels) -> list[tuple[float, float, str]]:
    return [(label.start_ms - BASE_MS, label.end_ms - BASE_MS, label.activity) for label in labels]


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_every_name_becomes_an_activity_or_a_detail_alone(dataset):
    assert {label for label in dataset.activity_by_name.values() if label} <= set(ACTIVITIES)
    assert not dataset.left_out & dataset.activity_by_name.keys()
    np.testing.assert_array_equal(dataset.axes @ dataset.axes.T, np.eye(3))


def test_trials_follow_one_another_with_pauses_and_the_ends_of_washing_are_unlabelled(tmp_path):
    write(tmp_path, trial(2, 30, step_ms=20) + trial(1, 20, step_ms=20), ["1,01,washing_hands", "2,01,washing_hands"])
    recording = only("uwash", tmp_path)
    # 30 s after the first one's end, 50 s, no window begins; the next begins at 60 s.
    second = 60_000
    assert spans(recording.labels) == [
        (3_000, 17_000, "washing_hands"),
        (second + 3_000, second + 27_000, "washing_hands"),
    ]
    assert recording.details == recording.labels
    assert recording.notes["frame"].startswith("unknown")
    assert recording.accelerometer_t_ms[[0, 999, 1000]].tolist() == [
        BASE_MS,
        BASE_MS + 19_980,
        BASE_MS + second,
    ]
    assert recording.accelerometer_mg[0].tolist() == [1000, 20, -100]


def test_short_trials_of_one_activity_are_joined_and_falls_are_left_out(tmp_path):
    index = ["1,01,walking", "2,01,hopping", "3,01,walking", "4,01,fall_lateralfall", "5,01,makingacall"]
    write(tmp_path, "".join(trial(rec, 15, step_ms=50) for rec in range(1, 6)), index)
    recording = only("umafall", tmp_path)
    lengths = {label.activity: label.end_ms - label.start_ms for label in recording.labels}
    assert lengths == {"walking": 30_000, OTHER: 15_000}
    assert sorted(detail.activity for detail in recording.details) == ["hopping", "makingacall", "walking"]
    assert np.unique(np.diff(recording.accelerometer_t_ms)).tolist() == [50, PAUSE_MS + 50, PAUSE_MS + 15_050]
    assert recording.notes["joints"].endswith("joints between trials are not real")


def test_the_order_of_activities_is_shuffled_by_person(tmp_path):
    names = list(umafall.DATASET.activity_by_name)
    write(
        tmp_path,
        "".join(trial(rec, 3) for rec in range(len(names))),
        [f"{rec},{person},{name}" for person in ("01", "02") for rec, name in enumerate(names)],
    )
    (tmp_path / "person02.csv.gz").write_bytes((tmp_path / "person01.csv.gz").read_bytes())
    first, second = ([detail.activity for detail in one.details] for one in open_dataset(f"umafall={tmp_path}"))
    assert first != second
    assert sorted(first) == sorted(second) == sorted(names)


def test_each_wrist_is_a_recording_of_the_same_person_and_the_left_one_is_a_day_later(tmp_path):
    index = ["1,01,pendulum,0", "2,01,pendulum,1", "3,01,bent_row_dumbbell,1"]
    write(tmp_path, trial(1, 30) + trial(2, 25) + trial(3, 20), index, "side")
    assert [(source.person, source.name) for source in find_sources(f"seglearn={tmp_path}")] == [
        ("01", "01"),
        ("01", "01-left"),
    ]
    right, left = open_dataset(f"seglearn={tmp_path}")
    assert [right.device, left.device] == ["apple-watch-right-wrist", "apple-watch-left-wrist"]
    assert right.minutes_by_activity() == {"flexibility": 25 / 60, "strength": 20 / 60}
    assert spans(left.labels) == [(SECOND_WRIST_MS, SECOND_WRIST_MS + 30_000, "flexibility")]
    # Apple's sign is minus Android's.
    assert left.accelerometer_mg[0].tolist() == [-1000, -20, 100]


def test_wrists_measured_at_once_are_kept_apart(tmp_path):
    write(tmp_path, trial(1, 4) + trial(2, 4), ["1,01,clapping,left", "2,01,sit_down,right"], "wrist")
    right, left = open_dataset(f"berkeley_mhad={tmp_path}")
    assert (right.labels, [detail.activity for detail in right.details]) == ((), ["sit_down"])
    assert [label.activity for label in left.labels] == [OTHER]


def test_pauses_between_repetitions_are_unlabelled_and_carried(tmp_path):
    rng = np.random.default_rng(0)
    t_ms = np.arange(0, 120_000, 40)
    moving = ((t_ms >= 10_000) & (t_ms < 50_000)) | ((t_ms >= 70_000) & (t_ms < 110_000))
    moving &= ~((t_ms >= 30_000) & (t_ms < 33_000))  # a turning point, no pause
    mg = np.array([0.0, -400.0, 900.0]) + moving[:, None] * rng.normal(0, 200, (len(t_ms), 3))
    mg[t_ms == 60_000] += 1000  # a jerk
    rows = "".join(f"1,{t},{x:.0f},{y:.0f},{z:.0f}\n" for t, (x, y, z) in zip(t_ms, mg, strict=True))
    write(tmp_path, rows, ["1,01,dumbbell_curl_seated"])
    recording = only("physio", tmp_path)
    assert len(recording.accelerometer_t_ms) == len(t_ms)
    np.testing.assert_allclose(
        [(start, end) for start, end, _ in spans(recording.labels)], [(10_000, 50_000), (70_000, 110_000)], atol=1_100
    )
    assert {label.activity for label in recording.labels} == {"strength"}
    assert {detail.activity for detail in recording.details} == {"dumbbell_curl_seated"}
    # Turned half around the forearm.
    assert recording.accelerometer_mg[0].tolist() == [0, 400, -900]


def test_a_still_arm_is_never_active(tmp_path):
    write(tmp_path, trial(1, 60), ["1,01,arm_rotation_prone"])
    recording = only("physio", tmp_path)
    assert recording.labels == recording.details == ()


def test_an_unlabelled_protocol_has_neither_label_nor_detail(tmp_path):
    write(tmp_path, trial(1, 60, step_ms=20), ["1,01,walk_stairs_jog_protocol"])
    recording = only("harlab", tmp_path)
    assert recording.labels == recording.details == ()
    assert len(recording.accelerometer_t_ms) == 3000


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("1,0,1,2,3\n1,40,1,oops,3\n", ":3: y_mg is not a number: 'oops'"),
        ("1,0,1,2,3\n1,40,1,2\n", ":3: 4 cells where rec,t_ms,x_mg,y_mg,z_mg are expected"),
        ("1,0,1,2,3\n\n7,0,1,2,3\n", ":4: rec 7 is not in index.csv for this person"),
        ("1,0,1,2,3\n1,40,1,2,40000\n", ":3: z is 40000, beyond 32.767 g"),
        ("", ": no trial of an activity that is read"),
        (trial(1, 4, "1,0,0"), ": x,y,z have a median magnitude of 1: that looks like g, not mg"),
    ],
)
def test_faults_of_a_persons_file_name_file_and_line(tmp_path, rows, fault):
    path = write(tmp_path, rows, ["1,01,walking"])
    with pytest.raises(DatasetError) as error:
        open_dataset(f"umafall={tmp_path}")
    assert str(error.value).startswith(f"{path}{fault}")


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (["1,01,clapping,left", "2,01,sleeping,left"], "3: unknown activity 'sleeping'"),
        (["1,01,clapping,middle"], "2: wrist is 'middle', expected right or left"),
        (["1,01,clapping"], "2: a cell is missing: wrist"),
        (["x,01,clapping,left"], "2: rec is not a number: 'x'"),
        (["1,01,clapping,left", "1,01,waving_one_hand,left"], "3: rec 1 of person 01 is there twice"),
    ],
)
def test_faults_of_the_index_name_file_and_line(tmp_path, rows, fault):
    write(tmp_path, trial(1, 4), rows, "wrist")
    with pytest.raises(DatasetError) as error:
        find_sources(f"berkeley_mhad={tmp_path}")
    assert str(error.value) == f"{tmp_path / 'index.csv'}:{fault}"


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_a_folder_without_data_is_named(tmp_path, dataset):
    with pytest.raises(DatasetError, match=f"no personNN.csv.* of {dataset.name} here"):
        open_dataset(f"{dataset.name}={tmp_path}")
