"""The reader of DSADS."""

import gzip
from pathlib import Path

import pytest

from shared.contracts.labels import OTHER
from training.corpus import read_datasets
from training.datasets import DatasetError, find_sources, open_dataset
from training.datasets.dsads import ACTIVITY_BY_NUMBER, LAST, NAME_BY_NUMBER
from training.datasets.recording import ACTIVITIES, BASE_MS, SECOND_WRIST_MS, G

HEADER = "activity,segment,i,ra_x,ra_y,ra_z,la_x,la_y,la_z\n"


def dsads_file(root: Path, numbers: list[int]) -> Path:
    path = root / "person3.csv.gz"
    rows = [f"{number},1,{i},{G},0,0,0,{G},0\n" for number in numbers for i in range(125)]
    path.write_bytes(gzip.compress((HEADER + "".join(rows)).encode()))
    return path


def test_every_activity_has_a_detail_and_most_have_a_label(tmp_path):
    dsads_file(tmp_path, list(range(1, 20)))
    (recording,) = open_dataset(f"dsads={tmp_path}")
    assert recording.device == "xsens-mtx-right-arm"
    assert sorted(detail.activity for detail in recording.details) == sorted(NAME_BY_NUMBER.values())
    label_at = {label.start_ms: label.activity for label in recording.labels}
    label_of = {detail.activity: label_at.get(detail.start_ms) for detail in recording.details}
    assert [name for name, label in label_of.items() if label == OTHER] != []
    assert {name for name, label in label_of.items() if label is None} == {
        "standing in an elevator still",
        "moving around in an elevator",
        "exercising on a stepper",
    }
    assert set(ACTIVITY_BY_NUMBER.values()) < set(ACTIVITIES)


def test_the_twelve_come_first_and_their_times_do_not_depend_on_the_rest(tmp_path):
    dsads_file(tmp_path, list(range(1, 20)))
    (whole,) = open_dataset(f"dsads={tmp_path}")
    dsads_file(tmp_path, [number for number in range(1, 20) if number not in LAST])
    (twelve,) = open_dataset(f"dsads={tmp_path}")
    assert whole.labels[:12] == twelve.labels
    assert whole.details[:12] == twelve.details
    assert twelve.labels[0].start_ms == BASE_MS


def test_both_arms_are_one_person_on_two_devices_on_two_days(tmp_path):
    dsads_file(tmp_path, [1, 9])
    assert [(source.person, source.name) for source in find_sources(f"dsads_arms={tmp_path}")] == [
        ("p3", "p3"),
        ("p3", "p3-left"),
    ]
    right, left = open_dataset(f"dsads_arms={tmp_path}")
    assert [right.device, left.device] == ["xsens-mtx-right-arm", "xsens-mtx-left-arm"]
    assert right.accelerometer_mg[0].tolist() == [1000, 0, 0]
    assert left.accelerometer_mg[0].tolist() == [0, 1000, 0]
    assert (left.accelerometer_t_ms - right.accelerometer_t_ms == SECOND_WRIST_MS).all()


def test_an_unknown_activity_is_named_with_its_line(tmp_path):
    path = dsads_file(tmp_path, [1, 20])
    with pytest.raises(DatasetError) as error:
        open_dataset(f"dsads={tmp_path}")
    assert str(error.value) == f"{path}:127: unknown activity 20"


def test_both_kinds_have_the_same_people_so_that_who_is_held_out_stays_so(tmp_path):
    dsads_file(tmp_path, [1] * 6 + [17] * 6)
    right, both = (read_datasets([f"{kind}={tmp_path}"], "har7") for kind in ("dsads", "dsads_arms"))
    assert set(right.person.tolist()) == set(both.person.tolist()) == {"dsads-p3"}
    assert set(both.dataset.tolist()) == {"dsads"}
    assert len(both) == 2 * len(right)
    with pytest.raises(DatasetError, match="dsads is given twice"):
        read_datasets([f"dsads={tmp_path}", f"dsads_arms={tmp_path}"], "har7")
