"""Offline classification: the baseline that each window was freed of, what is unknown, and what that costs."""

from pathlib import Path

import numpy as np
import pytest

from gaitway.predict.classify import Score, predict
from shared.contracts.labels import HAR7, UNKNOWN
from shared.model.bundle import load_bundle
from tests.bundles import random_bundle
from tests.recordings import cut
from training.datasets import Recording, read_recording


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """The Garmin log: no labels, many postures."""
    return read_recording(cut("garmin-1", tmp_path / "recordings"))


def test_each_window_has_its_own_baseline(recording: Recording, tmp_path: Path) -> None:
    model = load_bundle(random_bundle(tmp_path / "bundle"))
    predictions = predict([recording], model, None)
    assert len({p.window.record.baseline.accelerometer.mg for p in predictions}) > 10
    for found in predictions:
        record = found.window.record
        alone = model.probabilities([record.features], [record.mask], [record.baseline.accelerometer.mg])
        np.testing.assert_allclose(found.probabilities, alone[0], rtol=0, atol=1e-6)


def test_what_the_bundle_is_not_sure_of_is_unknown(recording: Recording, tmp_path: Path) -> None:
    sure = predict([recording], load_bundle(random_bundle(tmp_path / "sure")), None)
    confidence = np.array([found.probabilities.max() for found in sure])
    assert [found.activity for found in sure] == [HAR7[found.probabilities.argmax()] for found in sure]
    threshold = float(np.median(confidence))
    shy = predict([recording], load_bundle(random_bundle(tmp_path / "shy", abstain_below=threshold)), None)
    assert [found.activity for found in shy] == [
        found.activity if found.probabilities.max() >= threshold else UNKNOWN for found in sure
    ]
    assert 0 < sum(found.activity == UNKNOWN for found in shy) < len(shy)
    for one, other in zip(sure, shy, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_unknown_is_counted_and_is_wrong() -> None:
    score = Score("har7")
    score.add("ann", "walking", "walking")
    score.add("ann", "walking", UNKNOWN)
    score.add("ann", "sitting", "sitting")
    score.add("ann", None, UNKNOWN)
    score.add("ann", "washing_hands", "sitting")
    summary = score.summary()
    assert summary["recall_by_class"] == {"sitting": 1.0, "walking": 0.5}
    assert summary["uar"] == summary["uar_by_person"]["ann"] == 0.75
    assert (summary["windows"], summary["windows_unlabelled"], summary["abstained"]) == (3, 2, 2)
    confusion = score.confusion
    assert confusion.shape == (7, 8)
    assert confusion[HAR7.index("walking")].tolist() == [0, 0, 0, 1, 0, 0, 0, 1]
    assert confusion.sum() == 3
    assert [column.header for column in score.table().columns] == ["", "sitting", "walking", UNKNOWN, "recall"]
