"""What `gaitway predict` prints and writes: minutes, windows, reasons."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from gaitway.expected import phase_ms
from gaitway.predict.classify import predict
from shared.model.bundle import load_bundle
from tests.bundles import random_bundle
from tests.gaitway.cli.command import failure, gaitway_here
from tests.recordings import cut, wrist
from training.datasets import read_recording
from training.datasets.recording import G
from training.upload_simulator import as_name


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_bundle(tmp_path_factory.mktemp("model") / "random")


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_minutes_and_windows_of_recordings_without_labels(bundle: Path, tmp_path: Path) -> None:
    wrist(tmp_path / "in", "ann", seconds=120)
    wrist(tmp_path / "in", "bob", seconds=60, still=True)
    outputs = ["--windows", tmp_path / "windows.csv", "--summary", tmp_path / "summary.json"]
    done = gaitway_here("predict", "--model", bundle, "--dataset", f"recordings={tmp_path / 'in'}", *outputs)
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "windows.csv")
    model = load_bundle(bundle)
    names = ["person", "window_start_ms", "activity", "confidence", "label", "detail"]
    assert list(rows[0]) == [*names, *(f"p_{name}" for name in model.classes)]
    expected = [
        (person, found)
        for person in ("ann", "bob")
        for found in predict([read_recording(tmp_path / "in" / person)], model, person)
    ]
    assert len(rows) == len(expected)
    for row, (person, found) in zip(rows, expected, strict=True):
        assert row["person"] == person
        assert int(row["window_start_ms"]) == found.window.record.window_start_ms
        assert row["activity"] == found.activity
        probabilities = [float(row[f"p_{name}"]) for name in model.classes]
        np.testing.assert_allclose(probabilities, found.probabilities, atol=1e-6)
        assert float(row["confidence"]) == max(probabilities)
        assert row["label"] == row["detail"] == ""
    minutes = json.loads((tmp_path / "summary.json").read_text())["minutes_by_person"]
    assert minutes.keys() == {"ann", "bob"}
    for person, seconds in (("ann", 120), ("bob", 60)):
        windows = [row for row in rows if row["person"] == person]
        classified = {name: value for name, value in minutes[person].items() if name != "not_classified"}
        # A window counts for its hop of 10 s, so that no second counts twice.
        assert sum(classified.values()) == pytest.approx(len(windows) / 6, abs=0.01)
        assert sum(minutes[person].values()) == pytest.approx(seconds / 60, abs=0.01)
        for name, value in classified.items():
            assert value == pytest.approx(sum(row["activity"] == name for row in windows) / 6, abs=0.01)
    table = done.stdout.partition("Minutes by person")[2].splitlines()[1:]
    assert [line.split()[0] for line in table[:4]] == ["person", "ann", "bob", "total"]
    assert "none of them labelled" in done.stdout


def test_windows_have_the_phase_of_the_user_that_replay_sends_or_none(bundle: Path, tmp_path: Path) -> None:
    # A name that no user may have: replay sends another.
    wrist(tmp_path / "in", "b", seconds=120, person="Person 1")
    windows = tmp_path / "windows.csv"
    command = ["predict", "--model", bundle, "--dataset", f"recordings={tmp_path / 'in'}", "--windows", windows]
    user = as_name("Person 1")
    phases_ms = {}
    for options in ([], ["--no-phase-per-user"]):
        done = gaitway_here(*command, *options)
        assert done.returncode == 0, done.stderr
        phases_ms[tuple(options)] = {int(row["window_start_ms"]) % 10_000 for row in rows_of(windows)}
    assert phase_ms(user, 10_000) != 0
    assert phases_ms == {(): {phase_ms(user, 10_000)}, ("--no-phase-per-user",): {0}}
    done = gaitway_here(*command, phase_per_user="false")
    assert done.returncode == 0, done.stderr
    assert {int(row["window_start_ms"]) % 10_000 for row in rows_of(windows)} == {0}


def test_windows_of_labelled_recordings_have_a_label_of_the_ten(bundle: Path, tmp_path: Path) -> None:
    path = wrist(tmp_path / "in", "ann", seconds=120)
    begin_ms = int(read_recording(path).accelerometer_t_ms[0])
    labels = [(0, 50, "washing_hands"), (50, 120, "resting")]
    lines = [f"{begin_ms + begin * 1000},{begin_ms + end * 1000},{name}" for begin, end, name in labels]
    (path / "labels.csv").write_text("start_ms,end_ms,activity\n" + "\n".join(lines) + "\n")
    windows = tmp_path / "windows.csv"
    done = gaitway_here("predict", "--model", bundle, "--dataset", f"recordings={path}", "--windows", windows)
    assert done.returncode == 0, done.stderr
    found = {(row["label"], row["detail"]) for row in rows_of(windows)}
    assert found == {("washing_hands", ""), ("", ""), ("", "resting")}


def test_details_are_what_the_source_calls_it(bundle: Path, tmp_path: Path) -> None:
    accel = tmp_path / "raw" / "watch" / "accel"
    accel.mkdir(parents=True)
    lines = [
        f"1600,{letter},{round((start_s + i * 0.05) * 1e9)},{G},0.0,0.5;\n"
        for letter, start_s in (("B", 0), ("F", 60))
        for i in range(900)
    ]
    (accel / "data_1600_accel_watch.txt").write_text("".join(lines))
    windows = tmp_path / "windows.csv"
    done = gaitway_here("predict", "--model", bundle, "--dataset", f"wisdm={tmp_path}", "--windows", windows)
    assert done.returncode == 0, done.stderr
    found = {(row["label"], row["detail"]) for row in rows_of(windows)}
    assert {("running", "jogging"), ("sitting", "typing")} <= found


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seconds": 12}, "too short: 12.0 s of acceleration with no dropout over 1 s"),
        ({"rate_hz": 2, "seconds": 60}, "too few samples: the accelerometer's are 500 ms apart"),
    ],
    ids=["short", "slow"],
)
def test_no_window_has_its_reason_and_an_exit_code(bundle: Path, tmp_path: Path, options: dict, says: str) -> None:
    wrist(tmp_path, "ann", **options)
    done = gaitway_here("predict", "--model", bundle, "--dataset", f"recordings={tmp_path}")
    assert done.returncode == 1
    assert f"ann: 0 windows: {says}" in done.stdout
    # Others can be classified: an answer, and no failure.
    wrist(tmp_path, "bob")
    done = gaitway_here("predict", "--model", bundle, "--dataset", f"recordings={tmp_path}")
    assert done.returncode == 0
    assert f"ann: 0 windows: {says}" in done.stdout


def test_a_person_without_accelerometer_is_named(bundle: Path, tmp_path: Path) -> None:
    cut("e4-S03", tmp_path, to_s=60)
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "heart_rate.csv").write_text("t_ms,bpm\n1795000000000,70\n")
    line = failure(gaitway_here("predict", "--model", bundle, "--dataset", f"recordings={tmp_path}"))
    assert line == f"{tmp_path / 'ann'}: heart_rate.csv is there and accelerometer.csv[.gz] is not"
