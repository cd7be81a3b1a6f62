"""The shipped bundle's answers hardly move for wrong samples, checked and passed alike, nor for a sparse heart rate."""

from pathlib import Path

import pytest

from shared.model.bundle import load_bundle
from training.datasets import read_recording
from training.evaluation.perturbation import SELDOM, SINGLE, Movement, movements, with_heart_rates

PROJECT = Path(__file__).resolve().parents[3]
PEOPLE = ("e4-S03", "garmin-1", "selfback-041")
"""Of each kind of watch one: with heart rate and emulated steps, with counted ones, with a heart rate donated to it."""

IMPACT = {"0.3 s of 16 g on one axis": (0.65, 0.0)}
"""An impact is none of the activities: for 110 of the 120 windows whose answer changes it becomes "unknown"."""


@pytest.fixture(scope="module")
def moved() -> dict[str, Movement]:
    recordings = [read_recording(PROJECT / "examples" / "recordings" / name) for name in PEOPLE]
    model = load_bundle(PROJECT / "models" / "default")
    return {row.name: row for row in movements(with_heart_rates(recordings), model, SINGLE | SELDOM)}


@pytest.mark.parametrize("name", SINGLE)
def test_wrong_samples_hardly_move_an_answer_and_make_nothing_certain(name: str, moved: dict[str, Movement]) -> None:
    row = moved[name]
    assert row.windows > 150
    distance, confident = IMPACT.get(name, (0.25, 0.05) if SINGLE[name][0] == "accelerometer" else (0.06, 0.0))
    assert row.distance < distance
    assert row.confident <= confident


@pytest.mark.parametrize("name", SELDOM)
def test_a_sparse_heart_rate_is_used_and_changes_little(name: str, moved: dict[str, Movement]) -> None:
    row = moved[name]
    assert row.kept > 0.7
    assert row.distance < 0.02
