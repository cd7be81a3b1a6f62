"""The evaluation report: calibration, broken sensors and new users on one page with pictures.

Everything is measured on the folds by person that give the card its numbers: each window is tested with the network
that does not know its person.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.evaluation.calibration import Calibration, confidence_metrics, plot_reliability, plot_risk_coverage
from training.evaluation.cold_start import by_minutes, evaluate_cold_start, minutes_since_first
from training.evaluation.corruption import CorruptionRow
from training.evaluation.evaluate import Evaluation
from training.evaluation.predictions import HeldOutPredictions, predict_by_fold
from training.metrics import Ints
from training.samples import Samples

PAGE = "README.md"

_PAGE = """# {title}

{windows} windows that do not overlap, of {people} people; each tested with a network that does not know the person
(five folds by person). UAR per person counts the classes that the person has. Written by `gaitway train
--evaluation-report`.

## Calibration

One temperature of {temperature:.3f}, fitted on the same windows, takes the expected calibration error from
{ece_raw:.3f} to {ece:.3f}. Below a confidence of {threshold:.3f} a window is "unknown": that leaves {answered:.1%} of
the windows answered, {accuracy_of_answered:.1%} of them correctly, against {accuracy:.1%} when all are answered. Below
the threshold more answers would be wrong than right.

![reliability](reliability.svg) ![risk and coverage](risk_coverage.svg)

## Broken sensors, and watches worn differently

Each line covers the windows that have the modality; the difference is from the same windows untouched.

{corruptions}

## New users

By minutes since a person's first window. Activities come in blocks, so the lines have different activities and
people.

{minutes}

The same windows, with the baseline that the user had by then and with that of a first window:

{replay}
"""


def write_study(
    folder: Path,
    samples: Samples,
    folds: Sequence[HeldOutPredictions],
    evaluation: Evaluation,
    calibration: Calibration,
    corruptions: Sequence[CorruptionRow],
) -> None:
    """Write the page and its pictures.

    ``evaluation`` holds the tested windows of ``samples``, with the predictions of ``folds``, on which ``corruptions``
    were measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folds[0].network.config
    probabilities, threshold = calibration.probabilities(evaluation.logits), float(calibration.abstain_below)
    right = probabilities.argmax(axis=1) == evaluation.targets
    confidence = probabilities.max(axis=1)
    title = "The default model on people whom it does not know"
    plot_reliability(folder / "reliability.svg", probabilities, evaluation.targets, "sure and right")
    plot_risk_coverage(folder / "risk_coverage.svg", confidence, right, threshold, "answers and errors")

    predict = predict_by_fold(samples, folds)
    known = evaluation.of_activities()
    minutes = minutes_since_first(samples)[_rows_of(samples, known.samples)]
    rows = by_minutes(minutes, known.samples, known.logits.argmax(axis=1), config.classes)
    page = _PAGE.format(
        title=title,
        windows=len(evaluation.samples),
        people=len(np.unique(evaluation.samples.person)),
        temperature=calibration.temperature,
        threshold=threshold,
        **confidence_metrics(evaluation.logits, evaluation.targets, calibration),
        corruptions=_corruptions(corruptions),
        minutes="\n".join(
            [
                "| minutes | windows | people | UAR | recalls |",
                "|---|---|---|---|---|",
                *(
                    f"| {row.minutes} | {row.windows} | {row.people} | {row.uar:.3f} | "
                    + ", ".join(f"{name} {value:.2f}" for name, value in row.recalls.items())
                    + " |"
                    for row in rows
                ),
            ]
        ),
        replay=_corruptions(evaluate_cold_start(predict, known.samples, config.classes)),
    )
    (folder / PAGE).write_text(page, encoding="utf-8")


def _rows_of(samples: Samples, kept: Samples) -> Ints:
    """Row numbers in ``samples`` of the windows ``kept``, which have the same order."""
    place = {key: row for row, key in enumerate(zip(samples.person.tolist(), samples.start_ms.tolist(), strict=True))}
    return np.array([place[key] for key in zip(kept.person.tolist(), kept.start_ms.tolist(), strict=True)])


def _corruptions(rows: Sequence[CorruptionRow]) -> str:
    lines = [
        "| input | windows | people | UAR per person | pooled UAR | difference per person (sd) |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        difference = "" if row is rows[0] else f"{row.difference:+.3f} ({row.difference_sd:.3f})"
        lines.append(
            f"| {row.name} | {row.windows} | {row.people} | {row.uar_mean:.3f} | {row.uar:.3f} | {difference} |"
        )
    return "\n".join(lines)
