import gzip
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training import convert
from training.datasets import (
    ACTIVITIES,
    DatasetError,
    Label,
    Recording,
    find_sources,
    open_dataset,
    read_recording,
    read_recordings,
    write_recording,
)
from training.datasets.cut import PAUSE_MS, cut
from training.datasets.held_out import DEMO_RECORDINGS
from training.datasets.recording import BASE_MS, WATCH_AXES_OF_SENSOR, G
from training.pedometer import STEPS_NOTE
from training.upload_simulator import uploads

EXAMPLES = Path(__file__).parents[2] / "examples" / "recordings"

FULL = Recording(
    person="p1",
    device="watch",
    source="made for a test",
    licence="CC0",
    accelerometer_t_ms=np.array([BASE_MS, BASE_MS + 31.25, BASE_MS + 62.5]),
    accelerometer_mg=np.array([[0.5, 1.5, -999.6], [-2.5, 0.0, 1000.0], [16.0, -16.0, 1.0]]),
    heart_rate_t_ms=np.array([BASE_MS, BASE_MS + 1000.0]),
    heart_rate_bpm=np.array([71.5, 0.0]),
    steps_t_ms=np.array([BASE_MS + 0.5]),
    steps_total=np.array([4011]),
    labels=(Label(BASE_MS, BASE_MS + 30, "walking", "low"), Label(BASE_MS + 30, BASE_MS + 60, "resting")),
    notes={"steps": "emulated"},
    utc_offset_min=-60,
)
BARE = Recording("p2", "watch", "made for a test", "CC0", FULL.accelerometer_t_ms, FULL.accelerometer_mg)


def at(text: str) -> str:
    """The text with ``@40`` for 40 ms after ``BASE_MS``."""
    return re.sub("@([0-9]+)", lambda ms: str(BASE_MS + int(ms[1])), text)


def folder(path: Path, **files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in {"accelerometer.csv": "t_ms,x,y,z\n@0,1,2,3\n", **files}.items():
        (path / name).write_text(at(text))
    return path


# --- the recording format


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


# --- opening by KIND=DIR


def test_people_are_picked_and_only_theirs_is_read(tmp_path):
    folder(tmp_path / "a", **{"recording.json": json.dumps({"person": "ann"})})
    folder(tmp_path / "b", **{"recording.json": json.dumps({"person": "bob"}), "accelerometer.csv": "broken"})
    assert [source.person for source in find_sources(f"recordings={tmp_path}")] == ["ann", "bob"]
    assert [recording.person for recording in open_dataset(f"recordings={tmp_path}", ["ann"])] == ["ann"]
    with pytest.raises(DatasetError, match="no person 'eve' here, known are ann, bob"):
        open_dataset(f"recordings={tmp_path}", ["ann", "eve"])


@pytest.mark.parametrize("spec", ["wisdm", "wisdm=", "pamap2=x", "=x"])
def test_a_wrong_spec_is_named(spec):
    with pytest.raises(DatasetError, match=f"^{spec}: expected KIND=DIR with KIND one of recordings, wisdm, e4"):
        open_dataset(spec)


@pytest.mark.parametrize("kind", ["recordings", "wisdm", "e4"])
def test_a_folder_without_data_is_named(tmp_path, kind):
    with pytest.raises(DatasetError, match=f"^{tmp_path}: no "):
        open_dataset(f"{kind}={tmp_path}")
    with pytest.raises(DatasetError, match="nowhere: no such file"):
        open_dataset(f"{kind}={tmp_path / 'nowhere'}")


# --- WISDM


def wisdm_file(root: Path, lines: list[str], name: str = "data_1600_accel_watch.txt") -> Path:
    accel = root / "wisdm-dataset" / "raw" / "watch" / "accel"
    accel.mkdir(parents=True, exist_ok=True)
    (accel / name).write_text("".join(f"{line}\n" for line in lines))
    return accel


def wisdm_block(letter: str, start_s: float, n: int = 21) -> list[str]:
    return [f"1600,{letter},{round((start_s + i * 0.05) * 1e9)},{G},0.0,{-G};" for i in range(n)]


def test_wisdm_blocks_are_sorted_by_time_and_labelled(tmp_path):
    # In the file by activity; in time D first. F (typing) is none of the ten.
    accel = wisdm_file(tmp_path, wisdm_block("A", 200) + wisdm_block("D", 100) + wisdm_block("F", 300))
    for level in (accel, *accel.parents[:4]):
        (recording,) = open_dataset(f"wisdm={level}")
        assert recording.person == "1600"
        assert recording.labels == (
            Label(BASE_MS, BASE_MS + 1000, "sitting"),
            Label(BASE_MS + 100_000, BASE_MS + 101_000, "walking"),
        )
        assert len(recording.accelerometer_t_ms) == 63
        assert recording.accelerometer_t_ms[[0, 1, -1]].tolist() == [BASE_MS, BASE_MS + 50, BASE_MS + 201_000]
        np.testing.assert_allclose(recording.accelerometer_mg[0], [1000, 0, -1000])
        # What the source calls it: also what is none of the ten.
        assert recording.details == (
            *recording.labels,
            Label(BASE_MS + 200_000, BASE_MS + 201_000, "typing"),
        )


def test_wisdm_keeps_the_names_that_the_labels_join(tmp_path):
    wisdm_file(tmp_path, wisdm_block("B", 100) + wisdm_block("C", 200) + wisdm_block("S", 300))
    (recording,) = open_dataset(f"wisdm={tmp_path}")
    assert [label.activity for label in recording.labels] == ["running", "stairs"]
    assert [detail.activity for detail in recording.details] == ["jogging", "stairs", "folding"]


def test_wisdm_a_block_ends_where_the_next_begins(tmp_path):
    accel = wisdm_file(tmp_path, wisdm_block("A", 100) + wisdm_block("B", 100.5))
    (recording,) = open_dataset(f"wisdm={accel}")
    assert recording.labels == (
        Label(BASE_MS, BASE_MS + 450, "walking"),
        Label(BASE_MS + 500, BASE_MS + 1500, "running"),
    )
    assert len(recording.accelerometer_t_ms) == 31


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("1600,A,90426757696641,1.0,oops,3.0;", "2: y is not a number: 'oops'"),
        ("1600,A,90426757696641,1.0,3.0;", "2: 3 cells"),
        ("1600,N,90426757696641,1.0,2.0,3.0;", "2: expected 1600,ACTIVITY LETTER"),
        ("1601,A,90426757696641,1.0,2.0,3.0;", "2: expected 1600,ACTIVITY LETTER"),
    ],
)
def test_wisdm_faults_name_file_and_line(tmp_path, line, fault):
    accel = wisdm_file(tmp_path, [*wisdm_block("A", 1, n=1), line])
    with pytest.raises(DatasetError) as error:
        open_dataset(f"wisdm={tmp_path}")
    assert str(error.value).startswith(f"{accel / 'data_1600_accel_watch.txt'}:{fault}")


# --- Empatica E4

ACC = "1574621345.00,1574621345.00,1574621345.00\r\n32.0,32.0,32.0\r\n" + "64,-32,0\r\n" * 64
HR = "1574621355.00\r\n1.0\r\n70.50\r\n71.00\r\n"
START_MS = 1574621345_000.0


def test_e4_zip_with_the_label_table_beside_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "1574621345_A01F11.zip", "w") as export:
        export.writestr("ACC.csv", ACC)
        export.writestr("HR.csv", HR)
        export.writestr("tags.csv", "1574621350\r\n")
    (tmp_path / "1574621345_A01F11_labels.csv").write_text(
        "start,finish,label,sub\n"
        "2019:11:24 18:49:10,2019:11:24 18:49:20,Upstairs,11\n"
        "2019:11:24 18:49:20,2019:11:24 18:49:30,Downstairs,12\n"
        "2019:11:24 18:49:30,2019:11:24 18:49:40,Not_Labeled,12\n"
    )
    for spec in (tmp_path, tmp_path / "1574621345_A01F11.zip"):
        (recording,) = open_dataset(f"e4={spec}")
        assert recording.person == "A01F11"
        assert recording.accelerometer_t_ms[[0, 1, -1]].tolist() == [START_MS, START_MS + 31.25, START_MS + 1968.75]
        assert recording.accelerometer_mg[0].tolist() == [500, 1000, 0]  # x, y of the sensor are 1000, -500
        assert recording.heart_rate_t_ms.tolist() == [START_MS + 10_000, START_MS + 11_000]
        assert recording.heart_rate_bpm.tolist() == [70.5, 71.0]
        assert recording.labels == (Label(START_MS + 5_000, START_MS + 25_000, "stairs"),)


def test_stress_predict_is_sitting_but_for_its_ends(tmp_path):
    rows = "64,-32,0\n" * (32 * 200)
    folder = tmp_path / "Raw_data" / "S01"
    folder.mkdir(parents=True)
    (folder / "ACC.csv.gz").write_bytes(gzip.compress(f"1574621345,1574621345,1574621345\n32,32,32\n{rows}".encode()))
    (folder / "HR.csv.gz").write_bytes(gzip.compress(b"1574621355\n1\n70.5\n71\n"))
    (recording,) = open_dataset(f"stress_predict={tmp_path}")
    assert open_dataset(f"stress_predict={tmp_path / 'Raw_data'}")[0].person == recording.person == "S01"
    (label,) = recording.labels
    start_ms, end_ms = recording.accelerometer_t_ms[[0, -1]]
    assert (label.activity, label.start_ms, label.end_ms) == ("sitting", start_ms + 60_000, end_ms - 60_000)
    np.testing.assert_allclose(recording.accelerometer_mg[0], [500, 1000, 0])
    assert recording.licence == "MIT"
    with pytest.raises(DatasetError, match="no Raw_data/SXX"):
        open_dataset(f"stress_predict={folder}")


def test_e4_folders_with_a_label_table_in_the_root(tmp_path):
    for name in ("AEROBIC/S11_a", "AEROBIC/S11_b", "STRESS/S11"):
        (tmp_path / name).mkdir(parents=True)
        dated = ACC.replace("1574621345.00", "2019-11-24 18:49:05")
        (tmp_path / name / "ACC.csv.gz").write_bytes(gzip.compress(dated.encode()))
    (tmp_path / "labels.csv").write_text(
        "session,recording,start_s,end_s,activity,detail\n"
        "AEROBIC,S11_a,0.00,177.00,cycling,warm-up\n"
        "AEROBIC,S11_a,177.00,356.50,cycling,60 rpm (nominal)\n"
        "AEROBIC,S11_a,356.50,400.00,rest,after exercise\n"
        "STRESS,S11,1,2,sedentary,x\n"
        "STRESS,S11,2,3,unlabelled,x\n"
    )
    first, second, third = open_dataset(f"e4={tmp_path}")
    assert first.person == second.person == third.person == "S11"
    assert first.labels == (Label(START_MS, START_MS + 356_500, "cycling"),)
    assert second.labels == ()
    assert third.labels == (Label(START_MS + 1000, START_MS + 2000, "sitting"),)
    assert len(first.heart_rate_t_ms) == 0


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("S01/ACC.csv", ACC.replace("64,-32,0", "64,,0"), "S01/ACC.csv:3: y is not a number: ''"),
        ("S01/ACC.csv", "yesterday\n32\n", "S01/ACC.csv:1: time is not a number: 'yesterday'"),
        ("S01/ACC.csv", "1574621345\n0\n", "S01/ACC.csv:2: sample rate is 0 Hz"),
        ("S01/ACC.csv", "1574621345000\n32\n1,2,3\n", "S01/ACC.csv:1: '1574621345000' is no time in Unix seconds"),
        ("S01/ACC.csv", "1574621345\n", "S01/ACC.csv:2: ends before the sample rate"),
        ("S01/ACC.csv", "1574621345\n32\n", "S01/ACC.csv: no samples"),
        ("S01/HR.csv", HR + "fast\n", "S01/HR.csv:5: bpm is not a number: 'fast'"),
        ("labels.csv", "a,b\n", "labels.csv:1: header is 'a,b'"),
        ("labels.csv", "session,recording,start_s,end_s,activity\nx,S01,5,4,walking\n", "labels.csv:2: end_s is not"),
        ("S01_labels.csv", "start,finish,label\nnoon,1574621346,Walking\n", "S01_labels.csv:2: time is not a number"),
        ("S01.zip", "no zip", "S01.zip: cannot be read"),
    ],
)
def test_e4_faults_name_file_and_line(tmp_path, name, text, fault):
    (tmp_path / "S01").mkdir()
    (tmp_path / "S01" / "ACC.csv").write_text(ACC)
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError) as error:
        open_dataset(f"e4={tmp_path}")
    assert str(error.value).startswith(f"{tmp_path}/{fault}")


# --- cutting and converting


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
    assert right.minutes_by_activity() == {"sitting": 1 / 6, "walking": 1 / 6}
    assert right.labels == left.labels
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


# --- the recordings of the demo


def test_the_demo_recordings_are_the_held_out_people():
    recordings = {recording.person: recording for recording in read_recordings(EXAMPLES)}
    assert sorted(recordings) == sorted(DEMO_RECORDINGS) == sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir())
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*")) < 6e6
    for recording in recordings.values():
        span_min = (recording.accelerometer_t_ms[-1] - recording.accelerometer_t_ms[0]) / 60_000
        assert 10 <= span_min <= 25
        assert np.abs(recording.accelerometer_mg).max() < 2**15
        assert np.all(np.diff(recording.steps_total) >= 0)
        assert {label.activity for label in recording.labels} <= set(ACTIVITIES)


def test_the_demo_recordings_are_what_their_readme_says():
    rows = [line.split("|")[1:-1] for line in (EXAMPLES / "README.md").read_text().splitlines() if line.startswith("|")]
    header, _, *table = [[cell.strip() for cell in row] for row in rows[: len(DEMO_RECORDINGS) + 2]]
    activities = header[2:-4]
    for person, device, *minutes, labelled, span, heart_rate, steps in table:
        recording = read_recording(EXAMPLES / person)
        truth = recording.minutes_by_activity()
        assert recording.device == device
        assert minutes == [f"{truth[name]:.1f}" if name in truth else "-" for name in activities]
        assert labelled == f"{sum(truth.values()):.1f}"
        assert span == f"{(recording.accelerometer_t_ms[-1] - recording.accelerometer_t_ms[0]) / 60_000:.1f}"
        assert (heart_rate == "yes") == (len(recording.heart_rate_t_ms) > 0)
        assert (steps == "emulated") == (recording.notes["steps"] == STEPS_NOTE)
        licences = [row[3].strip() for row in rows if len(row) == 5 and person in row[0]]
        assert licences == [recording.licence]


@pytest.mark.parametrize("person", ["wisdm-1600", "wisdm-1621", "wisdm-1650", "selfback-026", "selfback-041"])
def test_the_demo_recordings_have_a_watchs_axes(person):
    recording = read_recording(EXAMPLES / person)
    t_ms = recording.accelerometer_t_ms
    (walking, *more) = [label for label in recording.labels if label.activity == "walking"]
    walks = np.any([(t_ms >= label.start_ms) & (t_ms < label.end_ms) for label in (walking, *more)], axis=0)
    along, across, out = np.abs(recording.accelerometer_mg[walks].mean(axis=0))
    assert along > 750
    assert along > 1.5 * max(across, out)


def test_garmin_log_keeps_its_gaps():
    recording = read_recording(EXAMPLES / "garmin-1")
    steps_s = np.diff(recording.accelerometer_t_ms) / 1000
    assert np.round(steps_s[steps_s > 1], 1).tolist() == [550.6, 1.4]
    assert recording.steps_total[[0, -1]].tolist() == [299, 350]
    assert recording.steps_t_ms[0] < recording.accelerometer_t_ms[0]
    assert len(recording.heart_rate_t_ms) == 238
    assert recording.utc_offset_min == 120
