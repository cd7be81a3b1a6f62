"""Opening data sets by KIND=DIR."""

import json

import pytest

from tests.training.datasets.recordings import folder
from training.datasets import (
    DatasetError,
    find_sources,
    open_dataset,
)


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
