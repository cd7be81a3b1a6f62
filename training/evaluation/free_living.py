"""Unlabelled days: minutes that a bundle calls active although nothing in them can be.

    python -m training.evaluation.free_living models/default nurses=DIR stress_predict=DIR

Two things are certain without a label. A wrist whose acceleration hardly changes for 20 s does not walk, run or climb
stairs. And nurses on their ward, like people at a desk, do not cycle.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.contracts.modality import WINDOW_MS
from shared.model.bundle import LoadedModel, load_bundle
from shared.model.decision import decide_all
from training.datasets import iter_dataset
from training.datasets.recording import Recording
from training.evaluation.other import ACTIVE, CONFIDENT
from training.offline import offline_windows

QUIET_G = 0.05
"""A walking wrist has a standard deviation of 0.1 g and more."""


@dataclass(frozen=True, slots=True)
class FreeLiving:
    """``hours`` of windows, ``quiet_hours`` of those that hardly move; the rest in minutes per hour.

    ``active_when_quiet``: named walking, running, stairs or cycling in a quiet window. ``cycling``: in all windows,
    ``sure_cycling`` with a confidence of 0.8 or more. ``answers``: activity -> share of all windows.
    """

    hours: float
    quiet_hours: float
    active_when_quiet: float
    cycling: float
    sure_cycling: float
    answers: dict[str, float]


def measure_free_living(recordings: Iterable[Recording], model: LoadedModel) -> FreeLiving:
    """Classify whole recordings, one at a time; raises ValueError if none has a window."""
    answers, confidences, deviations_g = [], [], []
    for recording in recordings:
        records = [window.record for window in offline_windows([recording], hop_ms=WINDOW_MS)]
        probabilities = model.probabilities(
            [record.features for record in records],
            [record.mask for record in records],
            [record.baseline.accelerometer.mg for record in records],
        )
        answers.append(decide_all(probabilities, model.classes, model.abstain_below))
        confidences.append(probabilities.max(axis=1))
        for record in records:
            g = record.features["accelerometer"][:3] + np.array(record.baseline.accelerometer.mg)[:, None] / 1000
            deviations_g.append(float(np.linalg.norm(g, axis=0).std()))
    if not deviations_g:
        raise ValueError("no window to classify")
    answer, confidence = np.concatenate(answers), np.concatenate(confidences)
    quiet = np.array(deviations_g) < QUIET_G
    named, counts = np.unique(answer, return_counts=True)
    return FreeLiving(
        hours=len(answer) * WINDOW_MS / 3_600_000,
        quiet_hours=float(quiet.sum()) * WINDOW_MS / 3_600_000,
        active_when_quiet=60 * float(np.isin(answer[quiet], ACTIVE).mean()) if quiet.any() else 0.0,
        cycling=60 * float(np.mean(answer == "cycling")),
        sure_cycling=60 * float(np.mean((answer == "cycling") & (confidence >= CONFIDENT))),
        answers={str(name): round(float(count / len(answer)), 4) for name, count in zip(named, counts, strict=True)},
    )


def main() -> None:
    """Print one table row per data set: MODEL KIND=DIR..."""
    bundle, *specs = sys.argv[1:]
    model = load_bundle(Path(bundle))
    print(
        "| data | hours | quiet hours | active when quiet, min/h | cycling, min/h | sure of cycling, min/h | answers |"
    )
    print("|---|---|---|---|---|---|---|")
    for spec in specs:
        found = measure_free_living(iter_dataset(spec), model)
        answers = ", ".join(f"{name} {share:.1%}" for name, share in sorted(found.answers.items(), key=lambda x: -x[1]))
        print(
            f"| {spec.partition('=')[0]} | {found.hours:.1f} | {found.quiet_hours:.1f} | {found.active_when_quiet:.2f} "
            f"| {found.cycling:.2f} | {found.sure_cycling:.2f} | {answers} |"
        )


if __name__ == "__main__":
    main()
