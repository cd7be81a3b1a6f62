"""The shipped bundle's answers hardly move for single samples that no body gives, nor for a sparse heart rate."""

from pathlib import Path

import pytest

from shared.model.bundle import load_bundle
from training.datasets import read_recording
from training.measure.perturbation import SELDOM, SINGLE, Movement, movements

PROJECT = Path(__file__).resolve().parents[2]
PEOPLE = ("e4-S03", "garmin-1", "selfback-041")
"""Of each kind of watch one: with heart rate and emulated steps, with counted ones, without a heart rate."""


@pytest.fixture(scope="module")
def moved() -> dict[str, Movement]:
    recordings = [read_recording(PROJECT / "examples" / "recordings" / name) for name in PEOPLE]
    model = load_bundle(PROJECT / "models" / "default")
    return {row.name: row for row in movements(recordings, model, SINGLE | SELDOM)}


@pytest.mark.parametrize("name", [name for name, (modality, _) in SINGLE.items() if modality == "heart_rate"])
def test_one_wrong_heart_rate_changes_no_answer(name: str, moved: dict[str, Movement]) -> None:
    row = moved[name]
    assert row.windows > 100
    assert row.distance < 0.05
    assert row.confident == 0


@pytest.mark.parametrize("name", [name for name, (modality, _) in SINGLE.items() if modality != "heart_rate"])
def test_one_wrong_sample_makes_nothing_certain(name: str, moved: dict[str, Movement]) -> None:
    row = moved[name]
    assert row.windows > 150
    assert row.distance < 0.15
    assert row.confident < 0.05


@pytest.mark.parametrize("name", SELDOM)
def test_a_sparse_heart_rate_is_used_and_changes_little(name: str, moved: dict[str, Movement]) -> None:
    row = moved[name]
    assert row.kept > 0.7
    assert row.distance < 0.02
