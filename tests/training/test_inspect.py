"""`gaitway datasets inspect`: counts that are known beforehand, gaps that were made, every kind by one registry."""

import json
import re

import pytest
from typer.testing import CliRunner

from gaitway.cli.operator import app
from gaitway.cli.research import KIND_HELP
from tests.training.synthetic_harage import write_cohort
from training.datasets import KINDS, find_sources, read_recording, write_recording
from training.datasets.recording import Recording
from training.inspect import inspect, inspect_recording
from training.pedometer import with_steps


def whole(tmp_path) -> Recording:
    write_cohort(tmp_path / "cohort", people=1, minutes=4.0, activities=("walking_low",))
    return next(source.read() for source in find_sources(f"harage={tmp_path / 'cohort'}"))


def test_help_names_every_kind():
    assert re.findall(r"\w+", KIND_HELP.partition("KIND is ")[2].replace(" or ", " ")) == list(KINDS)


def test_a_whole_recording_has_every_window_and_no_gap(tmp_path):
    inspected = inspect_recording(whole(tmp_path))
    assert inspected.windows == 12
    assert inspected.minutes == {"walking": 4.0}
    assert {name: inspected.coverage(name) for name in inspected.has} == dict.fromkeys(inspected.has, 1.0)
    assert inspected.has == {"accelerometer": 1, "heart_rate": 1, "steps": 1}
    assert not inspected.gap_count


def test_gap_is_counted_with_its_reason_and_seconds(tmp_path):
    recording = whole(tmp_path)
    start_ms = recording.accelerometer_t_ms[0]
    silent = (recording.heart_rate_t_ms >= start_ms + 40_000) & (recording.heart_rate_t_ms < start_ms + 80_000)
    recording.heart_rate_bpm[silent] = 0
    inspected = inspect_recording(recording)
    assert inspected.gap_count == {("heart_rate", "sensor_silent"): 2}
    assert inspected.gap_ms == {("heart_rate", "sensor_silent"): 40_000}
    assert inspected.coverage("heart_rate") == pytest.approx(10 / 12)
    assert inspected.coverage("accelerometer") == 1.0


def test_a_modality_that_a_source_lacks_is_none_and_no_gap(tmp_path):
    recording = whole(tmp_path)
    write_recording(tmp_path / "bare" / "a", recording)
    for name in ("heart_rate.csv", "steps.csv"):
        (tmp_path / "bare" / "a" / name).unlink()
    bare = read_recording(tmp_path / "bare" / "a")
    assert not inspect_recording(bare).gap_count
    assert inspect_recording(bare).has == {"accelerometer": 1}
    assert inspect_recording(with_steps(bare)).has == {"accelerometer": 1, "steps": 1}


def test_people_add_up_and_what_is_made_up_says_so(tmp_path):
    spec = f"harage={write_cohort(tmp_path, people=2, minutes=1.0)}"
    found = inspect(spec, find_sources(spec)).to_json()
    assert found["synthetic"]
    assert found["licences"] == ["CC0"]
    assert list(found["people"]) == ["P01", "P02"]
    assert found["people"]["P01"]["minutes"]["stairs"] == 1.0
    assert found["total"]["minutes"]["stairs"] == 2.0
    assert found["total"]["windows"] == sum(person["windows"] for person in found["people"].values())


def test_the_command_prints_and_writes_json(tmp_path):
    cohort = write_cohort(tmp_path / "cohort", people=2, minutes=0.7, activities=("sitting", "cycling"))
    runner, path = CliRunner(), tmp_path / "found.json"
    done = runner.invoke(app, ["datasets", "inspect", f"harage={cohort}", "--json", str(path)])
    assert done.exit_code == 0, done.output
    assert "SYNTHETIC" in done.stdout
    assert re.search(r"^P01 +0\.7 +0\.7 +1\.4 *$", done.stdout, re.MULTILINE)
    assert re.search(r"^total +1\.4 +1\.4 +2\.8 *$", done.stdout, re.MULTILINE)
    assert json.loads(path.read_text())["total"]["recordings"] == 2
    one = runner.invoke(app, ["datasets", "inspect", f"harage={cohort}", "--people", "P02"])
    assert "P01" not in one.stdout
