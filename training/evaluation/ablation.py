"""Ablation of the default model: the whole training against training without one step, paired by person.

For the same seed every arm is cross-validated with the same folds, so every person is tested in both. Results are
appended as they come, one JSON line per arm and seed, and an interrupted run is continued.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from shared.contracts.modality import ACCELEROMETER
from shared.model.network import NetworkConfig
from training.evaluation.evaluate import cross_validate, pool_predictions, to_evaluation
from training.metrics import dataset_balanced_uar, uar, uar_by_person
from training.samples import Samples
from training.trainer.sampling import TrainingSettings

WHOLE = "whole"
STEPS = 600
"""A third of the default's: enough to compare the arms with each other."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Differences from the whole training: fields of config and settings, and a change of the windows."""

    what: str
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Samples], Samples] = lambda samples: samples


def without_gravity(samples: Samples) -> Samples:
    """Replace the raw signal by the debiased one, the input of the paper's encoders."""
    return replace(samples, baseline_mg=np.zeros_like(samples.baseline_mg))


def without_own_median(samples: Samples) -> Samples:
    """Subtract each person's median acceleration over all windows, including later ones and test windows."""
    name = ACCELEROMETER.name
    features = samples.features[name].copy()
    axes = features[:, :3].astype(np.float32) + (samples.baseline_mg / 1000.0).astype(np.float32)[:, :, np.newaxis]
    for person in np.unique(samples.person):
        rows = samples.person == person
        axes[rows] -= np.median(axes[rows], axis=(0, 2))[:, np.newaxis]
    features[:, :3] = axes
    return replace(without_gravity(samples), features=samples.features | {name: features})


ARMS = {
    WHOLE: Arm("the default's recipe"),
    "paper_cnn": Arm("the paper's CNN encoder for the multi-scale one", {"encoder": "cnn"}),
    "no_gravity": Arm("debiased acceleration (causal median) for raw", prepare=without_gravity),
    "transductive": Arm(
        "debiased acceleration (the person's median over everything) for raw", prepare=without_own_median
    ),
    "har2_first": Arm("taught har2 first, for half as many steps, then har7", {}, {"har2_share": 0.5}),
    "outer_product": Arm("fusion by outer product for concatenation", {"fusion": "outer_product"}),
    "low_rank": Arm("low-rank fusion for concatenation", {"fusion": "low_rank"}),
    "gated": Arm("gated fusion for concatenation", {"fusion": "gated"}),
    "no_augmentation": Arm("no turned, mirrored, stretched or noisy wrists", settings={"augmentation": None}),
    "unbalanced": Arm("windows drawn as often as they occur", settings={"balanced": False}),
    "no_second_head": Arm("no second head for the sources' own names", settings={"detail_weight": 0.0}),
    "no_imputation": Arm("no imputed heart rate in windows without one", settings={"impute_heart_rate": 0.0}),
    "accelerometer_only": Arm("no heart rate, no steps", {"modalities": (ACCELEROMETER.name,)}),
}


class Outcome(msgspec.Struct, frozen=True):
    """One arm and seed; ``people``: UAR of each person over the classes that the person has."""

    arm: str
    seed: int
    steps: int
    pooled: float
    cell: float
    people: dict[str, float]
    seconds: float


def run_ablation(
    out: Path,
    samples: Samples,
    classes: tuple[str, ...],
    *,
    seeds: Sequence[int],
    steps: int,
    processes: int,
    arms: Sequence[str],
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Evaluate the arms that are missing in ``out`` (JSON lines), seed by seed, so that all arms grow together."""
    kept = read_outcomes(out)
    # Without a line that an interruption left incomplete.
    out.write_bytes(b"".join(msgspec.json.encode(outcome) + b"\n" for outcome in kept))
    done = {(outcome.arm, outcome.seed) for outcome in kept if outcome.steps == steps}
    for seed in seeds:
        for name in arms:
            if (name, seed) in done:
                continue
            outcome = evaluate_arm(name, samples, classes, seed, steps, processes)
            with out.open("ab") as file:
                file.write(msgspec.json.encode(outcome) + b"\n")
            on_outcome(outcome)


def evaluate_arm(
    name: str, samples: Samples, classes: tuple[str, ...], seed: int, steps: int, processes: int
) -> Outcome:
    """Cross-validate one arm with five folds by person."""
    arm = ARMS[name]
    began_s = time.perf_counter()
    config = NetworkConfig(classes, **{"encoder": "multi_scale", **arm.config})
    settings = TrainingSettings(**{"seed": seed, "steps": steps, **arm.settings})
    prepared = arm.prepare(samples)
    found = pool_predictions(prepared, cross_validate(config, prepared, settings, processes=processes))
    evaluation = to_evaluation(prepared, found, config).of_activities()
    decide, kept = evaluation.logits.argmax(axis=1), evaluation.samples
    return Outcome(
        arm=name,
        seed=seed,
        steps=steps,
        pooled=uar(evaluation.targets, decide, len(classes)),
        cell=dataset_balanced_uar(evaluation.targets, decide, kept.dataset, len(classes)),
        people=uar_by_person(evaluation.targets, decide, kept.person, len(classes)),
        seconds=round(time.perf_counter() - began_s, 1),
    )


def read_outcomes(path: Path) -> list[Outcome]:
    """Read the outcomes in a file; an incomplete last line is skipped."""
    outcomes = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            outcomes.append(msgspec.json.decode(line, type=Outcome))
        except msgspec.DecodeError:
            continue
    return outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: mean and spread over seeds, and the difference to the whole recipe, paired by person.

    A difference is given with twice its standard error over people; it is noise if that interval includes zero.
    """
    by_arm: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_arm.setdefault(outcome.arm, []).append(outcome)
    whole = _by_person(by_arm[WHOLE])
    lines = [
        "| arm | seeds | pooled UAR | dataset-balanced UAR | UAR per person | difference per person | |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, arm in by_arm.items():
        own = _by_person(arm)
        cells = [ARMS[name].what, str(len(arm)), _spread([outcome.pooled for outcome in arm])]
        cells += [_spread([outcome.cell for outcome in arm]), f"{np.mean(list(own.values())):.3f}"]
        cells += ["", ""] if name == WHOLE else _difference([own[person] - whole[person] for person in own])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _difference(people: Sequence[float]) -> list[str]:
    mean, error = float(np.mean(people)), 2 * float(np.std(people, ddof=1)) / len(people) ** 0.5
    verdict = "noise" if abs(mean) <= error else "worse" if mean < 0 else "better"
    return [f"{mean:+.3f} ± {error:.3f}", verdict]


def _by_person(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Each person's mean over the seeds."""
    return {person: float(np.mean([outcome.people[person] for outcome in outcomes])) for person in outcomes[0].people}


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
