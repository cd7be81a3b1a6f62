"""What a classification loses when a sensor is missing, stuck, wrong, or worn otherwise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from shared.contracts.modality import ACCELEROMETER, HEART_RATE, MODALITY_NAMES, STEPS
from shared.signal.features import HEART_RATE_SCALE_BPM
from training.metrics import Ints, uar, uar_by_person
from training.samples import Samples

SHIFT_BPM = 30.0
SEED = 0
"""Seed of the draw of donors."""


def heart_rate_frozen(samples: Samples) -> Samples:
    """The watch repeats the window's first heart rate."""
    frozen = np.zeros_like(samples.features["heart_rate"])
    frozen[:, 0] = samples.features["heart_rate"][:, 0, :1]
    return _with(samples, "heart_rate", frozen)


def heart_rate_shifted(samples: Samples, bpm: float = SHIFT_BPM) -> Samples:
    """The watch measures ``bpm`` too much, the baseline unaware of it."""
    shifted = samples.features["heart_rate"].copy()
    shifted[_there(samples, "heart_rate"), 0] += np.float16(bpm / HEART_RATE_SCALE_BPM)
    return _with(samples, "heart_rate", shifted)


def heart_rate_of_another(samples: Samples, seed: int = SEED) -> Samples:
    """Each window has the heart rate of some window of another person.

    Raises:
        ValueError: fewer than two people have a heart rate.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(_there(samples, "heart_rate"))
    person = samples.person[rows]
    people = np.unique(person)
    if len(people) < 2:
        raise ValueError(f"{len(people)} people have a heart rate, lending it takes two")
    donated = samples.features["heart_rate"].copy()
    for name in people:
        own = person == name
        donated[rows[own]] = samples.features["heart_rate"][rng.choice(rows[~own], np.count_nonzero(own))]
    return _with(samples, "heart_rate", donated)


def heart_rate_planted(samples: Samples, seed: int = SEED) -> Samples:
    """Each window without a heart rate has that of some window: a watch always has one, most data sets never.

    A network that takes "there is a heart rate" for "cycling or sitting" falls here. Raises ValueError where no window
    has one.
    """
    rng = np.random.default_rng(seed)
    there = _there(samples, HEART_RATE.name)
    planted = samples.features[HEART_RATE.name].copy()
    planted[~there] = planted[rng.choice(np.flatnonzero(there), np.count_nonzero(~there))]
    mask = samples.mask.copy()
    mask[:, MODALITY_NAMES.index(HEART_RATE.name)] = True
    return replace(_with(samples, HEART_RATE.name, planted), mask=mask)


def steps_reset(samples: Samples) -> Samples:
    """The counter stands still."""
    return _with(samples, "steps", np.zeros_like(samples.features["steps"]))


def turned_180(samples: Samples) -> Samples:
    """The watch put on upside down: half a turn about z."""
    return _worn(samples, (0, 1, 2), (-1, -1, 1))


def other_wrist(samples: Samples) -> Samples:
    """As the mirrored person would have worn it: the axis along the forearm changes sign."""
    return _worn(samples, (0, 1, 2), (-1, 1, 1))


def turned_90(samples: Samples) -> Samples:
    """A device whose axes are unknown: a quarter turn about z."""
    return _worn(samples, (1, 0, 2), (1, -1, 1))


Corruptions = Mapping[str, tuple[str, Callable[[Samples], Samples]]]
"""Name -> the modality that it is done to, and how."""

CORRUPTIONS: Corruptions = {
    "heart rate frozen": (HEART_RATE.name, heart_rate_frozen),
    "heart rate + 30 bpm": (HEART_RATE.name, heart_rate_shifted),
    "heart rate of another person": (HEART_RATE.name, heart_rate_of_another),
    "heart rate planted": (HEART_RATE.name, heart_rate_planted),
    "heart rate missing": (HEART_RATE.name, partial(Samples.without, modality=HEART_RATE.name)),
    "steps reset": (STEPS.name, steps_reset),
    "steps missing": (STEPS.name, partial(Samples.without, modality=STEPS.name)),
    "turned by 180 degrees": (ACCELEROMETER.name, turned_180),
    "other wrist": (ACCELEROMETER.name, other_wrist),
    "turned by 90 degrees": (ACCELEROMETER.name, turned_90),
}


@dataclass(frozen=True, slots=True)
class CorruptionRow:
    """``uar_mean``: over people; ``difference``: of that to the same windows untouched, ``difference_sd``: over people.

    Measured on the ``windows`` of ``people`` that have the modality; a planted heart rate on those that lack it; the
    first row, "untouched", on all.
    """

    name: str
    windows: int
    people: int
    uar_mean: float
    uar: float
    difference: float
    difference_sd: float


def corruption_table(
    predict: Callable[[Samples], Ints],
    samples: Samples,
    classes: Sequence[str],
    corruptions: Corruptions = CORRUPTIONS,
) -> list[CorruptionRow]:
    """How well ``predict`` (windows to class numbers) does under each corruption; UAR from 0 to 1.

    A corruption is left out where fewer than two people have its modality: nobody could say how much differs between
    people. Raises ValueError for an activity that is none of the classes.
    """
    truth, untouched = samples.targets(classes), predict(samples)

    def row(name: str, rows: NDArray[np.bool_], predicted: Ints) -> CorruptionRow:
        asked, person = truth[rows], samples.person[rows]
        before, after = (
            np.array(list(uar_by_person(asked, decide, person, len(classes)).values()))
            for decide in (untouched[rows], predicted)
        )
        change = after - before
        sd = float(change.std(ddof=1)) if len(change) > 1 else float("nan")
        mean, pooled = float(after.mean()), uar(asked, predicted, len(classes))
        return CorruptionRow(name, len(asked), len(after), mean, pooled, float(change.mean()), sd)

    table = [row("untouched", np.ones(len(samples), dtype=bool), untouched)]
    for name, (modality, corrupt) in corruptions.items():
        there = _there(samples, modality)
        rows = ~there if corrupt is heart_rate_planted else there
        if there.any() and len(np.unique(samples.person[rows])) > 1:
            table.append(row(name, rows, predict(corrupt(samples).take(rows))))
    return table


def _there(samples: Samples, modality: str) -> NDArray[np.bool_]:
    return samples.mask[:, MODALITY_NAMES.index(modality)]


def _with(samples: Samples, modality: str, features: NDArray[np.float16]) -> Samples:
    return replace(samples, features=samples.features | {modality: features})


def _worn(samples: Samples, order: tuple[int, int, int], sign: tuple[int, int, int]) -> Samples:
    """New axis i is ``sign[i]`` times old axis ``order[i]``, in signal, derivatives and baseline alike."""
    features = samples.features[ACCELEROMETER.name]
    n, channels, time = features.shape
    groups = features.reshape(n, channels // 3, 3, time)[:, :, order]
    turned = (groups * np.array(sign, dtype=np.float16)[:, None]).reshape(n, channels, time)
    baseline_mg = samples.baseline_mg[:, order] * np.array(sign)
    return replace(_with(samples, ACCELEROMETER.name, turned), baseline_mg=baseline_mg)
