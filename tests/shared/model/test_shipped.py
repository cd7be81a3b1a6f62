"""The bundles that ship."""

from pathlib import Path

import pytest

from shared.contracts.labels import HAR7, HAR10, OTHER, UNKNOWN
from shared.contracts.modality import MODALITY_NAMES
from shared.model.bundle import CARD, load_bundle
from tests.training.separable_samples import made_up
from training.datasets.held_out import HELD_OUT_SUBJECTS

MODELS = Path(__file__).parents[3] / "models"


LABELS = {"default": ("har10", (*HAR10, OTHER)), "gaitway-cnn": ("har7", HAR7)}


@pytest.mark.parametrize("name", LABELS)
def test_a_bundle_that_ships_loads_and_knows_nobody_of_the_demo(name: str) -> None:
    model = load_bundle(MODELS / name)
    assert (model.label_set, model.classes) == LABELS[name]
    assert model.modalities == MODALITY_NAMES
    assert (MODELS / name / CARD).is_file()
    for dataset, people in model.manifest.trained_on.items():
        assert people
        assert not set(people) & set(HELD_OUT_SUBJECTS.get(dataset, ()))
    assert model.manifest.metrics["unseen_people"].values["uar"] >= 0.66


def measured(name: str) -> dict[str, float]:
    return load_bundle(MODELS / "default").manifest.metrics[f"unseen_people{name}"].values


def test_the_default_bundle_knows_what_drift_is_measured_against() -> None:
    reference = load_bundle(MODELS / "default").manifest.reference
    assert reference is not None
    assert set(reference.activities) == {*HAR10, UNKNOWN}
    assert 0.05 < reference.activities[UNKNOWN] < 0.25


def test_the_default_bundle_says_when_it_does_not_know_what_people_do() -> None:
    """Bars on people and, where it says "unseen", on kinds of activity that its networks did not learn."""
    other = measured("_other")
    assert other["auroc"] >= 0.97
    assert other["auroc_unseen"] >= 0.9
    assert other["named_active"] <= 0.1
    assert other["false_active_min_per_h"] < 1.5


def test_the_default_bundle_loses_little_to_what_watches_do() -> None:
    """A network that takes "there is a heart rate" for a class loses 0.4 pooled UAR to an imputed one."""
    corrupted = measured("_corrupted")
    for what, most in {
        "heart rate imputed": 0.02,
        "heart rate of another person": 0.02,
        "heart rate every 5 s": 0.02,
        "heart rate missing": 0.02,
        "steps missing": 0.02,
        "other wrist": 0.02,
        "half the sampling rate": 0.05,
    }.items():
        assert corrupted[f"difference_per_person.{what}"] >= -most, what


@pytest.mark.parametrize("name", ["default", "gaitway-cnn"])
def test_a_bundle_that_ships_tells_made_up_stillness_from_swinging(name: str) -> None:
    model = load_bundle(MODELS / name)
    samples = made_up(6)
    features = [{name: samples.features[name][i] for name in MODALITY_NAMES} for i in range(6)]
    masks = [{"accelerometer": True, "heart_rate": False, "steps": True} for _ in range(6)]
    probabilities = model.probabilities(features, masks, [(0, 0, 0)] * 6)
    still = probabilities[:, [model.classes.index(activity) for activity in ("lying", "sitting", "standing")]].sum(
        axis=1
    )
    swings = samples.activity == "walking"
    assert still[~swings].min() > 2 * still[swings].max()
