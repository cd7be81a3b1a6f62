"""The reader of the nurses' E4 recordings."""

from pathlib import Path

import numpy as np
import pytest

from training.datasets import DatasetError, open_dataset
from training.datasets.cut import PAUSE_MS
from training.datasets.recording import BASE_MS

INDEX = "person,session,minutes,hz,hr_start_offset_s\n5C,1,1.0,32,10.0\n5C,2,1.0,32,8.0\n"


def write(root: Path, index: str = INDEX, **arrays: np.ndarray) -> Path:
    path = root / "person_5C.npz"
    (root / "index.csv").write_text(index)
    still = np.tile(np.array([8, -64, 4], dtype=np.int8), (64, 1))
    whole = {"acc01": still, "hr01": np.array([70, 71], dtype=np.uint8), "acc02": still, "hr02": np.array([90])}
    np.savez_compressed(path, **{name: array for name, array in (whole | arrays).items() if array.size})
    return path


def test_sessions_follow_one_another_and_heart_rate_keeps_its_offset(tmp_path):
    write(tmp_path)
    (recording,) = open_dataset(f"nurses={tmp_path}")
    assert (recording.person, recording.device) == ("5C", "empatica-e4")
    second_ms = BASE_MS + 11_000 + PAUSE_MS
    assert recording.accelerometer_t_ms[[0, 1, 64]].tolist() == [BASE_MS, BASE_MS + 31.25, second_ms]
    assert recording.heart_rate_t_ms.tolist() == [BASE_MS + 10_000, BASE_MS + 11_000, second_ms + 8_000]
    assert recording.heart_rate_bpm.tolist() == [70, 71, 90]
    # The hanging arm's gravity, on the sensor's -y, is on the watch's x.
    assert recording.accelerometer_mg[0].tolist() == [1000, 125, 62.5]
    assert recording.labels == recording.details == ()
    assert recording.notes["time"].startswith("calendar time was dropped")


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"acc02": np.empty(0)}, "acc02 cannot be read"),
        ({"acc02": np.zeros((4, 2), dtype=np.int8)}, "acc02 has shape (4, 2) and type int8"),
        ({"hr01": np.array([70.5])}, "hr01 has shape (1,) and type float64"),
    ],
)
def test_faults_of_an_array_name_file_and_array(tmp_path, arrays, fault):
    path = write(tmp_path, **arrays)
    with pytest.raises(DatasetError) as error:
        open_dataset(f"nurses={tmp_path}")
    assert str(error.value).startswith(f"{path}: {fault}")


def test_faults_of_files_are_named(tmp_path):
    path = write(tmp_path, index=INDEX + "5C,3,1.0,32,soon\n")
    with pytest.raises(DatasetError) as error:
        open_dataset(f"nurses={tmp_path}")
    assert str(error.value) == f"{tmp_path / 'index.csv'}:4: hr_start_offset_s is not a number: 'soon'"
    write(tmp_path, index=INDEX + "5C,3\n")
    with pytest.raises(DatasetError, match=r"index\.csv:4: a cell is missing"):
        open_dataset(f"nurses={tmp_path}")
    write(tmp_path, index=INDEX.replace("5C", "6B"))
    with pytest.raises(DatasetError, match=r"person 5C is not in index\.csv"):
        open_dataset(f"nurses={tmp_path}")
    write(tmp_path)
    path.write_bytes(b"no zip")
    with pytest.raises(DatasetError, match="acc01 cannot be read"):
        open_dataset(f"nurses={tmp_path}")
    path.unlink()
    with pytest.raises(DatasetError, match=r"no person_ID\.npz"):
        open_dataset(f"nurses={tmp_path}")
