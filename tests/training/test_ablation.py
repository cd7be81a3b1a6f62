"""The ablation: what an arm changes, a run that goes on, a table that is paired by person."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.separable_samples import CLASSES, made_up
from training.evaluation import ablation
from training.evaluation.ablation import (
    ARMS,
    WHOLE,
    Outcome,
    evaluate_arm,
    read_outcomes,
    run_ablation,
    table,
    without_gravity,
    without_own_median,
)


def outcome(arm: str, seed: int, **people: float) -> Outcome:
    return Outcome(arm, seed, 600, float(np.mean(list(people.values()))), 0.5, people, 1.0)


def test_every_arm_is_evaluated_on_the_same_people(monkeypatch):
    samples = made_up(54)
    found = {
        name: evaluate_arm(name, samples, CLASSES, seed=0, steps=20, processes=1) for name in ("whole", "paper_cnn")
    }
    assert found["whole"].people.keys() == found["paper_cnn"].people.keys() == set(np.unique(samples.person))
    assert found["whole"].people != found["paper_cnn"].people


def test_without_gravity_nothing_is_left_of_the_baseline():
    assert not without_gravity(made_up(3)).baseline_mg.any()


def test_without_their_own_median_all_people_are_centred():
    samples = made_up(30)
    samples = replace(samples, baseline_mg=np.full_like(samples.baseline_mg, 700))
    centred = without_own_median(samples)
    assert not centred.baseline_mg.any()
    for person in np.unique(samples.person):
        axes = centred.features["accelerometer"][samples.person == person, :3]
        np.testing.assert_allclose(np.median(axes.astype(float), axis=(0, 2)), 0.0, atol=2e-3)


def test_a_run_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    evaluated = []

    def quick(name, samples, classes, seed, steps, processes):
        evaluated.append((name, seed))
        return outcome(name, seed, a=0.5, b=1.0)

    monkeypatch.setattr(ablation, "evaluate_arm", quick)
    out = tmp_path / "ablation.jsonl"

    def run(seeds):
        outcomes = []
        run_ablation(
            out,
            made_up(3),
            CLASSES,
            seeds=seeds,
            steps=600,
            processes=1,
            arms=["whole", "gated"],
            on_outcome=outcomes.append,
        )
        return [(each.arm, each.seed) for each in outcomes]

    assert run([0]) == [("whole", 0), ("gated", 0)]
    with out.open("ab") as file:
        file.write(b'{"arm": "whole", "se')
    assert run([0, 1]) == [("whole", 1), ("gated", 1)]
    assert [(each.arm, each.seed) for each in read_outcomes(out)] == evaluated


def test_the_difference_is_paired_by_person():
    people = {f"p{n}": 0.5 + 0.04 * n for n in range(10)}
    worse = {person: value - 0.1 - 0.001 * n for n, (person, value) in enumerate(people.items())}
    same = {person: value + 0.05 * (-1) ** n for n, (person, value) in enumerate(people.items())}
    text = table([outcome(WHOLE, 0, **people), outcome("gated", 0, **worse), outcome("low_rank", 0, **same)])
    assert f"| {ARMS['gated'].what} | 1 " in text
    assert "| -0.104 ± 0.002 | worse |" in text
    assert "| +0.000 ± 0.033 | noise |" in text


def test_an_arm_that_is_not_there():
    with pytest.raises(KeyError):
        evaluate_arm("nothing", made_up(3), CLASSES, 0, 20, 1)


def test_the_committed_table_is_made_again_from_its_results():
    docs = Path(__file__).parents[2] / "docs"
    assert table(read_outcomes(docs / "results" / "ablation-har7.jsonl")) in (docs / "models.md").read_text()
