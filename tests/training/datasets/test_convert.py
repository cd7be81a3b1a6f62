"""Cutting recordings and converting data sets into the recording format."""

import gzip
from dataclasses import replace

import numpy as np
import pytest

from shared.contracts.labels import OTHER
from tests.training.datasets.recordings import ACC, BARE
from training import convert
from training.datasets import (
    DatasetError,
    Label,
    open_dataset,
    read_recordings,
)
from training.datasets.cut import PAUSE_MS, cut
from training.datasets.recording import BASE_MS, SECOND_WRIST_MS, WATCH_AXES_OF_SENSOR, G
from training.pedometer import STEPS_NOTE


def test_cut_keeps_the_middle_of_each_span_and_closes_the_pauses():
    t_ms = BASE_MS + np.arange(0, 1_000_000, 40.0)
    recording = replace(
        BARE,
        accelerometer_t_ms=t_ms,
        accelerometer_mg=np.stack([t_ms - BASE_MS] * 3, axis=1),
        labels=(
            Label(BASE_MS + 10_000, BASE_MS + 110_000, "walking"),
            Label(BASE_MS + 500_000, BASE_MS + 600_000, "sitting"),
            Label(BASE_MS + 700_000, BASE_MS + 800_000, "walking"),
        ),
    )
    short = cut([recording], 2)
    assert short.labels == (
        Label(BASE_MS + 30_000, BASE_MS + 90_000, "walking"),
        Label(BASE_MS + 120_000, BASE_MS + 220_000, "sitting"),
        Label(BASE_MS + 250_000, BASE_MS + 310_000, "walking"),
    )
    assert np.diff(short.accelerometer_t_ms).max() == PAUSE_MS + 40
    assert short.accelerometer_mg[[0, 1500, -1], 0].tolist() == [30_000, 500_000, 779_960]
    with pytest.raises(DatasetError, match="nothing is labelled"):
        cut([BARE], 2)


def test_convert_dsads(tmp_path, capsys):
    header = "activity,segment,i,ra_x,ra_y,ra_z,la_x,la_y,la_z\n"
    rows = [f"{number},{i // 125 + 1},{i % 125},{G},0,0,0,{G},0\n" for number in (1, 9, 17) for i in range(250)]
    source = tmp_path / "source"
    source.mkdir()
    (source / "person1.csv.gz").write_bytes(gzip.compress((header + "".join(rows)).encode()))
    assert convert.main(["dsads", str(source), str(tmp_path / "out"), "--arm", "both", "--people", "p1"]) == 0
    right, left = read_recordings(tmp_path / "out")
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / name) for name in ("dsads-p1", "dsads-p1-left")]
    assert right.person == left.person == "dsads-p1"
    assert right.accelerometer_mg[0].tolist() == [1000, 0, 0]
    assert left.accelerometer_mg[0].tolist() == [0, 1000, 0]
    assert right.minutes_by_activity() == left.minutes_by_activity()
    assert right.minutes_by_activity() == {"sitting": 1 / 6, "walking": 1 / 6, "other": 1 / 6}
    assert {later.start_ms - first.start_ms for first, later in zip(right.labels, left.labels, strict=True)} == {
        SECOND_WRIST_MS
    }
    assert right.notes["steps"] == STEPS_NOTE
    assert convert.main(["dsads", str(source), str(tmp_path / "out"), "--people", "p9"]) == 1
    assert "no person 'p9' here, known are p1" in capsys.readouterr().err


def test_convert_selfback(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "index.csv").write_text(
        "person,activity,start,rate_hz\n026,walk_slow,2016-04-13 10:28:53.500,100\n026,lying,2016-04-13 10:20:00,100\n"
    )
    wave = np.rint(64 * np.sin(2 * np.pi * 30 * np.arange(4000) / 100)).astype(int)  # above 12.5 Hz: must not alias
    rows = [f"walk_slow,{x},-48,64\n" for x in wave] + ["lying,0,0,-64\n"] * 2000
    (source / "person026.csv").write_text("activity,x64,y64,z64\n" + "".join(rows))
    assert convert.main(["selfback", str(source), str(tmp_path / "out")]) == 0
    (recording,) = read_recordings(tmp_path / "out")
    assert [label.activity for label in recording.labels] == ["lying", "walking"]
    assert recording.labels[1].start_ms - recording.labels[0].start_ms == 533_500
    assert len(recording.accelerometer_t_ms) == 1500
    assert np.diff(recording.accelerometer_t_ms[:500]).tolist() == [40.0] * 499
    lying, walking = recording.accelerometer_mg[:500], recording.accelerometer_mg[500:]
    np.testing.assert_allclose(lying[:, 2], -1000, atol=2)
    # The sensor's y, which ran along the arm, is the watch's x, its x the watch's y.
    np.testing.assert_allclose(walking[:, 0], 750, atol=2)
    np.testing.assert_allclose(walking[10:-10, 1], 0, atol=20)
    np.testing.assert_allclose(walking[:, 2], 1000, atol=2)
    (read,) = open_dataset(f"selfback={source}")
    assert [label.activity for label in read.labels] == ["lying", "walking"]
    assert [detail.activity for detail in read.details] == ["lying", "walk_slow"]
    assert [(d.start_ms, d.end_ms) for d in read.details] == [(b.start_ms, b.end_ms) for b in read.labels]
    # The recording format has no place for them.
    assert recording.details == ()


@pytest.mark.parametrize("kind", ["selfback", "e4"])
def test_gravity_of_a_hanging_arm_is_on_x_after_the_turn(tmp_path, kind):
    # Of both sensors y runs along the forearm, and points at the hand.
    if kind == "e4":
        (tmp_path / "S01").mkdir()
        (tmp_path / "S01" / "ACC.csv").write_text(ACC.replace("64,-32,0", "8,-64,4"))
    else:
        (tmp_path / "index.csv").write_text("person,activity,start,rate_hz\n1,walk_slow,2016-04-13 10:28:53,100\n")
        (tmp_path / "person1.csv").write_text("activity,x64,y64,z64\n" + "walk_slow,8,-64,4\n" * 400)
    (recording,) = open_dataset(f"{kind}={tmp_path}")
    np.testing.assert_allclose(recording.accelerometer_mg.mean(axis=0), [1000, 125, 62.5], atol=1e-6)


def test_the_turn_is_a_turn():
    np.testing.assert_array_equal(WATCH_AXES_OF_SENSOR @ WATCH_AXES_OF_SENSOR.T, np.eye(3))
    assert np.linalg.det(WATCH_AXES_OF_SENSOR) == pytest.approx(1.0)  # no mirror


def test_convert_garmin(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    day = "2019-10-16T12:09"
    (source / "acc.csv").write_text("".join(f"{day}:{s:06.3f}+02:00;-36;620;-824\n" for s in np.arange(2, 30, 0.04)))
    (source / "data.csv").write_text(
        f"{day}:00.000+02:00;STEPS;290.0\n{day}:01.000+02:00;STEPS;299.0\n{day}:01.500+02:00;HEART_RATE;70.0\n"
        f"{day}:05.000+02:00;HEART_RATE;-1.0\n{day}:06.000+02:00;HEART_RATE;79.0\n{day}:07.000+02:00;CALORIES;900\n"
        f"{day}:08.000+02:00;STEPS;301.0\n{day}:40.000+02:00;STEPS;305.0\n"
    )
    assert convert.main(["garmin", str(source), str(tmp_path / "out")]) == 0
    (recording,) = read_recordings(tmp_path / "out")
    start_ms = recording.accelerometer_t_ms[0]
    assert start_ms == 1571220542_000
    assert recording.utc_offset_min == 120
    assert (recording.steps_t_ms - start_ms).tolist() == [-1000, 6000]
    assert recording.steps_total.tolist() == [299, 301]
    assert recording.heart_rate_bpm.tolist() == [0, 79]
    assert recording.labels == ()


def test_the_demo_leaves_out_what_is_none_of_the_ten_and_what_is_done_on_a_chair():
    spans = [(0, "sitting", "sitting"), (100, "sitting", "typing"), (200, OTHER, "teeth")]
    labels, details = (
        tuple(Label(BASE_MS + start, BASE_MS + start + 50, names[place]) for start, *names in spans) for place in (0, 1)
    )
    kept = convert.drop_labels(replace(BARE, labels=labels, details=details), convert.DEMO_LEFT_OUT["wisdm"])
    assert kept.labels == labels[:1]
    assert kept.accelerometer_t_ms is BARE.accelerometer_t_ms
