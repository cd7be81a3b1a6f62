"""Accuracy for new users: by minutes since the first sample, and with the baseline of a first window.

Activities come in blocks, so each bin of minutes has different activities and people, and even recalls per class are
not comparable between bins. The second comparison is: every window is classified twice, with the baseline that its
user had by then and with the baseline of a user's first window.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shared.contracts.modality import ACCELEROMETER
from training.evaluation.corruption import CorruptionRow, evaluate_corruptions
from training.evaluation.hand_crafted import raw_g
from training.metrics import Floats, Ints, confusion_matrix, recalls
from training.samples import Samples

FROM_MINUTES = (0, 1, 2, 5, 15)
"""Lower edges of the bins; the last bin is open."""
COLD_BASELINE = "baseline of a first window"


@dataclass(frozen=True, slots=True)
class MinutesRow:
    """``uar``: mean of ``recalls`` (class -> share found), with the classes that occur in these minutes."""

    minutes: str
    windows: int
    people: int
    uar: float
    recalls: dict[str, float]


def minutes_since_first(samples: Samples) -> Floats:
    """(n,) from the start of a person's first window to that of each; a baseline is kept over a person's recordings.

    Compute it before windows are left out: a person's first one may be among them.
    """
    _, number = np.unique(samples.person, return_inverse=True)
    first_ms = np.full(number.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first_ms, number, samples.start_ms)
    return (samples.start_ms - first_ms[number]) / 60_000.0


def by_minutes(
    minutes: Floats, samples: Samples, predicted: Ints, classes: Sequence[str], since: Sequence[int] = FROM_MINUTES
) -> list[MinutesRow]:
    """UAR in each bin of ``minutes`` (n,) that holds windows, over the classes that occur in it.

    ``predicted``: (n,) class numbers. Raises ValueError for an activity that is none of the classes.
    """
    truth = samples.targets(classes)
    bins = np.searchsorted(since, minutes, side="right") - 1
    rows = []
    for number, start in enumerate(since):
        chosen = bins == number
        if not chosen.any():
            continue
        name = f"{start}-{since[number + 1]}" if number + 1 < len(since) else f"{start}+"
        share = recalls(confusion_matrix(truth[chosen], predicted[chosen], len(classes)))
        found = {label: value for label, value in zip(classes, share.tolist(), strict=True) if not np.isnan(value)}
        people = len(np.unique(samples.person[chosen]))
        rows.append(MinutesRow(name, int(chosen.sum()), people, float(np.mean(list(found.values()))), found))
    return rows


def with_cold_baseline(samples: Samples) -> Samples:
    """The windows as a new user's first ones: debiased by their own median per axis.

    The live service takes the median of the signal before it is smoothed, which differs by a few mg. The heart rate
    is unchanged, because its baseline is not known here.
    """
    g = raw_g(samples)
    baseline_mg = np.rint(np.median(g, axis=2) * 1000.0).astype(np.int64)  # (n, 3)
    features = samples.features[ACCELEROMETER.name].copy()
    features[:, :3] = g - (baseline_mg / 1000.0).astype(np.float32)[:, :, None]
    return replace(samples, features=samples.features | {ACCELEROMETER.name: features}, baseline_mg=baseline_mg)


def evaluate_cold_start(
    predict: Callable[[Samples], Ints], samples: Samples, classes: Sequence[str]
) -> list[CorruptionRow]:
    """Rows "untouched" (the samples' own baselines) and ``COLD_BASELINE``; see ``evaluate_corruptions``."""
    return evaluate_corruptions(predict, samples, classes, {COLD_BASELINE: (ACCELEROMETER.name, with_cold_baseline)})
