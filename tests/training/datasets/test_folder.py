"""The recording format: what is written is read, and what is wrong is named with file and line."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.contracts.labels import OTHER
from tests.training.datasets.recordings import BARE, FULL, folder
from training.datasets import (
    DatasetError,
    read_recording,
    write_recording,
)
from training.datasets.recording import BASE_MS, G
from training.upload_simulator import uploads


@pytest.mark.parametrize("recording", [FULL, BARE], ids=["full", "bare"])
def test_a_recording_reads_back_as_written(tmp_path, recording):
    write_recording(tmp_path / "a", recording)
    back = read_recording(tmp_path / "a")
    np.testing.assert_array_equal(back.accelerometer_mg, np.rint(recording.accelerometer_mg))
    for name in ("accelerometer_t_ms", "heart_rate_t_ms", "heart_rate_bpm", "steps_t_ms", "steps_total"):
        np.testing.assert_array_equal(getattr(back, name), getattr(recording, name))
        assert getattr(back, name).dtype == getattr(recording, name).dtype
    for name in ("person", "device", "source", "licence", "labels", "notes", "utc_offset_min"):
        assert getattr(back, name) == getattr(recording, name)


def test_the_same_recording_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_recording(tmp_path / name, FULL)
    written = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert written == ["accelerometer.csv.gz", "heart_rate.csv", "labels.csv", "recording.json", "steps.csv"]
    for name in written:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    text = gzip.decompress((tmp_path / "a" / "accelerometer.csv.gz").read_bytes()).decode()
    assert text == ("t_ms,x,y,z\n1668000000000,0,2,-1000\n1668000000031.25,-2,0,1000\n1668000000062.5,16,-16,1\n")
    assert (tmp_path / "a" / "heart_rate.csv").read_text() == "t_ms,bpm\n1668000000000,71.5\n1668000001000,\n"


def test_writing_replaces_what_was_there(tmp_path):
    folder(tmp_path)
    write_recording(tmp_path, FULL)
    write_recording(tmp_path, BARE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["accelerometer.csv.gz", "recording.json"]


def test_all_but_the_accelerometer_may_be_absent(tmp_path):
    recording = read_recording(folder(tmp_path / "walker"))
    assert recording.person == "walker"
    assert len(recording.heart_rate_t_ms) == len(recording.steps_t_ms) == len(recording.labels) == 0


def test_rows_are_sorted_and_the_first_of_equal_stamps_wins(tmp_path):
    text = "t_ms,x,y,z\n@80,8,8,8\n@40,4,4,4\n\n@80,9,9,9\n@0,0,0,0\n"
    recording = read_recording(folder(tmp_path, **{"accelerometer.csv": text}))
    assert (recording.accelerometer_t_ms - BASE_MS).tolist() == [0, 40, 80]
    assert recording.accelerometer_mg[:, 0].tolist() == [0, 4, 8]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("accelerometer.csv", "t,x,y,z\n@0,1,2,3\n", "accelerometer.csv:1: header is 't,x,y,z'"),
        ("accelerometer.csv", "t_ms,x,y,z\n@0,1,2,3\n\n@40,1,two,3\n", "accelerometer.csv:4: y is not a number: 'two'"),
        ("accelerometer.csv", "t_ms,x,y,z\n@0,1,2,3\n@40,1,nan,3\n", "accelerometer.csv:3: y is not a number: 'nan'"),
        ("accelerometer.csv", "t_ms,x,y,z\n@0,1,2,inf\n", "accelerometer.csv:2: z is not a number: 'inf'"),
        ("accelerometer.csv", "t_ms,x,y,z\n@0,1,2,\n", "accelerometer.csv:2: z is not a number: ''"),
        ("accelerometer.csv", "t_ms,x,y,z\n@0,1,2,3\n@40,1,2\n", "accelerometer.csv:3: 3 cells"),
        ("accelerometer.csv", "t_ms,x,y,z\n", "accelerometer.csv: no samples"),
        ("accelerometer.csv", "", "accelerometer.csv:1: header is ''"),
        ("heart_rate.csv", "t_ms,bpm\n@0,70\n@1000,-1\n", "heart_rate.csv:3: bpm is -1"),
        ("heart_rate.csv", "t_ms,bpm\n,70\n", "heart_rate.csv:2: t_ms is not a number"),
        ("steps.csv", "t_ms,total\n@0,1\n\n@1000,1.5\n", "steps.csv:4: total is 1.5"),
        (
            "labels.csv",
            "start_ms,end_ms,activity\n@0,@9,walking\n@9,@12,flying\n",
            "labels.csv:3: unknown activity 'flying'",
        ),
        ("labels.csv", "start_ms,end_ms,activity\n@9,@9,walking\n", "labels.csv:2: end_ms is not after start_ms"),
        (
            "labels.csv",
            "start_ms,end_ms,activity\n@0,@9,lying\n@8,@12,sitting\n",
            "labels.csv:3: sitting begins before",
        ),
        ("labels.csv", "start_ms,end_ms,activity\n@0,x,lying\n", "labels.csv:2: end_ms is not a number: 'x'"),
        ("labels.csv", "start_ms,end_ms,activity\n@0,@1,lying,low\n", "labels.csv:2: 4 cells, the header has 3"),
        (
            "labels.csv",
            "start_ms,end_ms,activity,intensity\n@0,@1,lying,mad\n",
            "labels.csv:2: unknown intensity 'mad'",
        ),
        ("recording.json", '{"person": "a",\n}', "recording.json:2: "),
        ("recording.json", '{"person": 7}', "recording.json: person is not a text"),
        ("recording.json", '{"persn": "a"}', "recording.json: unknown field 'persn'"),
        ("recording.json", '{"utc_offset_min": 1.5}', "recording.json: utc_offset_min is not a whole number"),
    ],
)
def test_faults_name_file_and_line(tmp_path, name, text, fault):
    with pytest.raises(DatasetError) as error:
        read_recording(folder(tmp_path / "r", **{name: text}))
    assert str(error.value).startswith(f"{tmp_path / 'r'}/{fault}")


def accelerometer(first: object = BASE_MS, step: float = 40, mg: float = 1000, rows: int = 60) -> str:
    """Samples under gravity, in the layout of accelerometer.csv."""
    return "t_ms,x,y,z\n" + "".join(f"{first + i * step!r},{mg * 0.6},0,{mg * 0.8}\n" for i in range(rows))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (accelerometer(mg=1.0), ": x,y,z have a median magnitude of 1: that looks like g, not mg; multiply by 1000"),
        (accelerometer(mg=G), ": x,y,z have a median magnitude of 9.81: that looks like m/s2, not mg; multiply by 101"),
        (accelerometer(mg=16384), ": x,y,z have a median magnitude of 1.64e+04, where gravity is 1000 mg"),
        (accelerometer(mg=64), ": x,y,z have a median magnitude of 64, where gravity is 1000 mg"),
        (accelerometer(mg=0.02), ": x,y,z have a median magnitude of 0.02, where gravity is 1000 mg"),
        (accelerometer(BASE_MS / 1e3, 0.04), ":2: t_ms is 1668000000: that looks like seconds, not ms since the Unix"),
        (accelerometer(BASE_MS * 10**3, 40_000), ":2: t_ms is 1668000000000000: that looks like µs, not ms since"),
        (accelerometer(BASE_MS * 10**6, 4 * 10**7), ":2: t_ms is 1668000000000000000: that looks like ns, not ms"),
        (accelerometer(0), ":2: t_ms is 0: no ms since the Unix epoch between 2000 and 2100 (times from the"),
        (accelerometer(-BASE_MS), ":2: t_ms is -1668000000000: no ms since the Unix epoch"),
        (accelerometer(1e300, 0), ":2: t_ms is 1e+300: no ms since the Unix epoch"),
        (accelerometer(rows=1) + "@40,1,2,3\n\n80,1,2,3\n", ":5: t_ms is 80: no ms since the Unix epoch"),
        (accelerometer() + "@9000,1,2,-32769\n", ":62: z is -32769, beyond 32.767 g"),
        (accelerometer().replace(",", ";"), ":1: header is 't_ms;x;y;z', expected 't_ms,x,y,z', separated by commas"),
        (accelerometer().replace(",", "\t"), ":1: header is 't_ms\\tx\\ty\\tz', expected 't_ms,x,y,z', separated by"),
        ("\ufeff" + accelerometer().replace("\n", "\r\n") + "x,1,2,3\r\n", ":62: t_ms is not a number: 'x'"),
        (accelerometer(rows=2) + "@80,1,nan,3\n", ":4: y is not a number: 'nan'"),
        ("t_ms,x,y\n@0,1,2\n", ":1: header is 't_ms,x,y', expected 't_ms,x,y,z'"),
    ],
)
def test_another_unit_is_recognised(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(DatasetError) as error:
        read_recording(folder(tmp_path, **{"accelerometer.csv": text}))
    assert str(error.value).startswith(f"{tmp_path}/accelerometer.csv{fault}")


@pytest.mark.parametrize("mg", [550.0, 1000.0, 2900.0])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_mg_are_mg(tmp_path: Path, mg: float, ends: str) -> None:
    (tmp_path / "accelerometer.csv").write_bytes(b"\xef\xbb\xbf" + accelerometer(mg=mg).replace("\n", ends).encode())
    assert len(read_recording(tmp_path).accelerometer_t_ms) == 60


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        (
            "heart_rate.csv",
            "t_ms,bpm\n@0,255\n@1000,300\n",
            "3: bpm is 300, expected a number from 0 to 255, or nothing",
        ),
        ("heart_rate.csv", "t_ms,bpm\n1668000000,70\n", "2: t_ms is 1668000000: that looks like seconds"),
        ("steps.csv", "t_ms,total\n@0,2147483647\n@1,2147483648\n", "3: total is 2147483648, expected a whole number"),
        ("steps.csv", "t_ms,total\n@0,-1\n", "2: total is -1, expected a whole number from 0 to 2147483647"),
        ("labels.csv", "start_ms,end_ms,activity\n1668000000,1668000009,lying\n", "2: start_ms is 1668000000: that"),
        ("labels.csv", "start_ms,end_ms,activity\n@0,1668000009000000,lying\n", "2: end_ms is 1668000009000000: that"),
    ],
)
def test_what_an_upload_cannot_carry_is_refused(tmp_path: Path, name: str, text: str, fault: str) -> None:
    with pytest.raises(DatasetError) as error:
        read_recording(folder(tmp_path, **{name: text}))
    assert str(error.value).startswith(f"{tmp_path}/{name}:{fault}")


def test_what_an_upload_cannot_carry_is_no_reading_whatever_it_came_from() -> None:
    t_ms = BASE_MS + np.arange(0, 20_000, 40.0)
    seconds_ms = BASE_MS + np.arange(0, 20_000, 1000.0)
    recording = replace(
        BARE,
        accelerometer_t_ms=t_ms,
        accelerometer_mg=np.full((len(t_ms), 3), 577.0),
        heart_rate_t_ms=seconds_ms,
        heart_rate_bpm=np.array([70.0, 300.0] * 10),
        steps_t_ms=seconds_ms,
        steps_total=np.array([11, 2**31] * 10),
    )
    sent = list(uploads(recording))
    assert {bpm for upload in sent for bpm in upload.heart_rate.bpm} == {70, None}
    assert {total for upload in sent for total in upload.steps.total} == {11}


def test_a_broken_gzip_is_named(tmp_path):
    (tmp_path / "accelerometer.csv.gz").write_bytes(gzip.compress(b"t_ms,x,y,z\n0,1,2,3\n" * 99)[:-12])
    with pytest.raises(DatasetError, match=r"accelerometer\.csv\.gz: cannot be read"):
        read_recording(tmp_path)


def test_a_label_may_say_that_it_is_none_of_the_ten_and_an_upload_does_not_carry_it(tmp_path):
    rows = "".join(f"@{t_ms},0,0,1000\n" for t_ms in range(0, 20_000, 40))
    labels = "start_ms,end_ms,activity\n@0,@10000,other\n@10000,@20000,resting\n"
    folder(tmp_path / "a", **{"accelerometer.csv": f"t_ms,x,y,z\n{rows}", "labels.csv": labels})
    recording = read_recording(tmp_path / "a")
    assert [label.activity for label in recording.labels] == [OTHER, "resting"]
    stated = [upload.context and upload.context.activity for upload in uploads(recording)]
    assert stated == [None, None, "resting", "resting"]
