"""The bundles that ship."""

from pathlib import Path

import pytest

from shared.contracts.labels import HAR7, LABEL_SETS
from shared.contracts.modality import MODALITY_NAMES
from shared.model.bundle import CARD, load_bundle
from tests.training.separable_samples import made_up
from training.datasets.held_out import HELD_OUT_SUBJECTS

MODELS = Path(__file__).parents[3] / "models"


@pytest.mark.parametrize("name", ["default", "gaitway-cnn"])
def test_a_bundle_that_ships_loads_and_knows_nobody_of_the_demo(name: str) -> None:
    model = load_bundle(MODELS / name)
    assert model.label_set == "har7"
    assert model.classes == HAR7 == LABEL_SETS["har7"]
    assert model.modalities == MODALITY_NAMES
    assert (MODELS / name / CARD).is_file()
    for dataset, people in model.manifest.trained_on.items():
        assert people
        assert not set(people) & set(HELD_OUT_SUBJECTS.get(dataset, ()))
    assert model.manifest.metrics["unseen_people"].values["uar"] >= 0.66


def test_the_default_bundle_knows_what_drift_is_measured_against() -> None:
    reference = load_bundle(MODELS / "default").manifest.reference
    assert reference is not None
    # 98.8 % of the windows are answered: docs/studies/default-har7.
    assert reference.activities["unknown"] == pytest.approx(0.012, abs=0.001)


@pytest.mark.parametrize("name", ["default", "gaitway-cnn"])
def test_a_bundle_that_ships_tells_made_up_stillness_from_swinging(name: str) -> None:
    model = load_bundle(MODELS / name)
    samples = made_up(6)
    features = [{name: samples.features[name][i] for name in MODALITY_NAMES} for i in range(6)]
    masks = [{"accelerometer": True, "heart_rate": False, "steps": True} for _ in range(6)]
    probabilities = model.probabilities(features, masks, [(0, 0, 0)] * 6)
    moving = probabilities[:, [HAR7.index(n) for n in ("walking", "running", "stairs")]]
    swings = samples.activity == "walking"
    assert moving.sum(axis=1)[swings].min() > 0.5
    assert moving.sum(axis=1)[~swings].max() < 0.5
