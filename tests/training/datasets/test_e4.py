"""The readers of Empatica's exports."""

import gzip
import zipfile

import numpy as np
import pytest

from tests.training.datasets.recordings import ACC
from training.datasets import (
    DatasetError,
    Label,
    open_dataset,
)

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
