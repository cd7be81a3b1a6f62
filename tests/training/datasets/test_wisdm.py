"""The reader of WISDM."""

from pathlib import Path

import numpy as np
import pytest

from training.datasets import (
    DatasetError,
    Label,
    open_dataset,
)
from training.datasets.recording import BASE_MS, G


def wisdm_file(root: Path, lines: list[str], name: str = "data_1600_accel_watch.txt") -> Path:
    accel = root / "wisdm-dataset" / "raw" / "watch" / "accel"
    accel.mkdir(parents=True, exist_ok=True)
    (accel / name).write_text("".join(f"{line}\n" for line in lines))
    return accel


def wisdm_block(letter: str, start_s: float, n: int = 21) -> list[str]:
    return [f"1600,{letter},{round((start_s + i * 0.05) * 1e9)},{G},0.0,{-G};" for i in range(n)]


def test_wisdm_blocks_are_sorted_by_time_and_labelled(tmp_path):
    # In the file by activity; in time D first. Typing (F) is done on a chair.
    accel = wisdm_file(tmp_path, wisdm_block("A", 200) + wisdm_block("D", 100) + wisdm_block("F", 300))
    for level in (accel, *accel.parents[:4]):
        (recording,) = open_dataset(f"wisdm={level}")
        assert recording.person == "1600"
        assert recording.labels == (
            Label(BASE_MS, BASE_MS + 1000, "sitting"),
            Label(BASE_MS + 100_000, BASE_MS + 101_000, "walking"),
            Label(BASE_MS + 200_000, BASE_MS + 201_000, "sitting"),
        )
        assert len(recording.accelerometer_t_ms) == 63
        assert recording.accelerometer_t_ms[[0, 1, -1]].tolist() == [BASE_MS, BASE_MS + 50, BASE_MS + 201_000]
        np.testing.assert_allclose(recording.accelerometer_mg[0], [1000, 0, -1000])
        # What the source calls it.
        assert recording.details == (
            *recording.labels[:2],
            Label(BASE_MS + 200_000, BASE_MS + 201_000, "typing"),
        )


def test_wisdm_keeps_the_names_that_the_labels_join(tmp_path):
    blocks = [wisdm_block(letter, 100 * number) for number, letter in enumerate("BCSK", start=1)]
    wisdm_file(tmp_path, [line for block in blocks for line in block])
    (recording,) = open_dataset(f"wisdm={tmp_path}")
    # Drinking is done sitting or standing: no label.
    assert [label.activity for label in recording.labels] == ["running", "stairs", "other"]
    assert [detail.activity for detail in recording.details] == ["jogging", "stairs", "folding", "drinking"]


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
