"""Loss of accuracy when a sensor is missing, stuck, wrong, or worn differently."""

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
"""Seed of the random choice of donors."""


def freeze_heart_rate(samples: Samples) -> Samples:
    """The watch repeats the window's first heart rate."""
    frozen = np.zeros_like(samples.features["heart_rate"])
    frozen[:, 0] = samples.features["heart_rate"][:, 0, :1]
    return _replace_features(samples, "heart_rate", frozen)


def shift_heart_rate(samples: Samples, bpm: float = SHIFT_BPM) -> Samples:
    """The watch measures ``bpm`` too much, and the baseline does not include it."""
    shifted = samples.features["heart_rate"].copy()
    shifted[_is_present(samples, "heart_rate"), 0] += np.float16(bpm / HEART_RATE_SCALE_BPM)
    return _replace_features(samples, "heart_rate", shifted)


def swap_heart_rate(samples: Samples, seed: int = SEED) -> Samples:
    """Each window has the heart rate of some window of another person.

    Raises:
        ValueError: fewer than two people have a heart rate.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(_is_present(samples, "heart_rate"))
    person = samples.person[rows]
    people = np.unique(person)
    if len(people) < 2:
        raise ValueError(f"{len(people)} people have a heart rate, a swap needs two")
    donated = samples.features["heart_rate"].copy()
    for name in people:
        own = person == name
        donated[rows[own]] = samples.features["heart_rate"][rng.choice(rows[~own], np.count_nonzero(own))]
    return _replace_features(samples, "heart_rate", donated)


def impute_heart_rate(samples: Samples, seed: int = SEED) -> Samples:
    """Each window without a heart rate gets that of a random window, because a watch always measures one.

    It reveals a network that takes "there is a heart rate" for "cycling or sitting". Raises ValueError if no window has
    one.
    """
    rng = np.random.default_rng(seed)
    there = _is_present(samples, HEART_RATE.name)
    imputed = samples.features[HEART_RATE.name].copy()
    imputed[~there] = imputed[rng.choice(np.flatnonzero(there), np.count_nonzero(~there))]
    mask = samples.mask.copy()
    mask[:, MODALITY_NAMES.index(HEART_RATE.name)] = True
    return replace(_replace_features(samples, HEART_RATE.name, imputed), mask=mask)


def thin_heart_rate(samples: Samples, every: int = 5) -> Samples:
    """The watch tells its heart rate every ``every`` seconds; the last one is held."""
    held = samples.features[HEART_RATE.name][:, 0, ::every].repeat(every, axis=1)[:, : HEART_RATE.grid_n]
    first = np.diff(held.astype(np.float32) * HEART_RATE_SCALE_BPM, axis=1, prepend=np.nan)
    first[:, 0] = 0.0
    second = np.diff(first, axis=1, prepend=0.0)
    thinned = np.stack([held, first.astype(np.float16), second.astype(np.float16)], axis=1)
    return _replace_features(samples, HEART_RATE.name, thinned)


def reset_steps(samples: Samples) -> Samples:
    """The counter stands still."""
    return _replace_features(samples, "steps", np.zeros_like(samples.features["steps"]))


def turn_180(samples: Samples) -> Samples:
    """A watch worn upside down: half a turn about z."""
    return _permute_axes(samples, (0, 1, 2), (-1, -1, 1))


def mirror_wrist(samples: Samples) -> Samples:
    """A watch on the other wrist: the axis along the forearm changes sign."""
    return _permute_axes(samples, (0, 1, 2), (-1, 1, 1))


def turn_90(samples: Samples) -> Samples:
    """A device whose axes are unknown: a quarter turn about z."""
    return _permute_axes(samples, (1, 0, 2), (1, -1, 1))


def halve_rate(samples: Samples) -> Samples:
    """A watch of 12.5 Hz: every second sample is between its neighbours."""
    features = samples.features[ACCELEROMETER.name].astype(np.float32)
    axes = features[:, :3].copy()
    axes[:, :, 1:-1:2] = (axes[:, :, :-2:2] + axes[:, :, 2::2]) / 2
    first = np.zeros_like(axes)
    first[:, :, 1:] = np.diff(axes, axis=2)
    second = np.zeros_like(axes)
    second[:, :, 1:] = np.diff(first, axis=2)
    slow = np.concatenate([axes, first, second], axis=1)[:, : features.shape[1]].astype(np.float16)
    return _replace_features(samples, ACCELEROMETER.name, slow)


Corruptions = Mapping[str, tuple[str, Callable[[Samples], Samples]]]
"""Name -> the modality that changes, and how."""

CORRUPTIONS: Corruptions = {
    "heart rate frozen": (HEART_RATE.name, freeze_heart_rate),
    "heart rate + 30 bpm": (HEART_RATE.name, shift_heart_rate),
    "heart rate of another person": (HEART_RATE.name, swap_heart_rate),
    "heart rate imputed": (HEART_RATE.name, impute_heart_rate),
    "heart rate every 5 s": (HEART_RATE.name, thin_heart_rate),
    "heart rate missing": (HEART_RATE.name, partial(Samples.without, modality=HEART_RATE.name)),
    "steps reset": (STEPS.name, reset_steps),
    "steps missing": (STEPS.name, partial(Samples.without, modality=STEPS.name)),
    "turned by 180 degrees": (ACCELEROMETER.name, turn_180),
    "other wrist": (ACCELEROMETER.name, mirror_wrist),
    "turned by 90 degrees": (ACCELEROMETER.name, turn_90),
    "half the sampling rate": (ACCELEROMETER.name, halve_rate),
}


@dataclass(frozen=True, slots=True)
class CorruptionRow:
    """``uar_mean``: over people; ``difference``: from the same windows untouched, ``difference_sd``: over people.

    Measured on the ``windows`` of ``people`` that have the modality; an imputed heart rate on those without; the first
    row, "untouched", on all.
    """

    name: str
    windows: int
    people: int
    uar_mean: float
    uar: float
    difference: float
    difference_sd: float


def evaluate_corruptions(
    predict: Callable[[Samples], Ints],
    samples: Samples,
    classes: Sequence[str],
    corruptions: Corruptions = CORRUPTIONS,
) -> list[CorruptionRow]:
    """Evaluate ``predict`` (windows to class numbers) under each corruption; UAR from 0 to 1.

    A corruption is left out if fewer than two people have its modality: the spread over people would be unknown. Raises
    ValueError for an activity that is none of the classes.
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
        there = _is_present(samples, modality)
        rows = ~there if corrupt is impute_heart_rate else there
        if there.any() and len(np.unique(samples.person[rows])) > 1:
            table.append(row(name, rows, predict(corrupt(samples).take(rows))))
    return table


def corruption_values(rows: Sequence[CorruptionRow]) -> dict[str, float]:
    """The rows as numbers of a manifest: pooled UAR, and the difference per person, under each corruption."""
    values = {}
    for row in rows:
        values[f"uar.{row.name}"] = round(row.uar, 4)
        if row is not rows[0]:
            values[f"difference_per_person.{row.name}"] = round(row.difference, 4)
    return values


def _is_present(samples: Samples, modality: str) -> NDArray[np.bool_]:
    return samples.mask[:, MODALITY_NAMES.index(modality)]


def _replace_features(samples: Samples, modality: str, features: NDArray[np.float16]) -> Samples:
    return replace(samples, features=samples.features | {modality: features})


def _permute_axes(samples: Samples, order: tuple[int, int, int], sign: tuple[int, int, int]) -> Samples:
    """New axis i is ``sign[i]`` times old axis ``order[i]``, in signal, derivatives and baseline alike."""
    features = samples.features[ACCELEROMETER.name]
    n, channels, time = features.shape
    groups = features.reshape(n, channels // 3, 3, time)[:, :, order]
    turned = (groups * np.array(sign, dtype=np.float16)[:, None]).reshape(n, channels, time)
    baseline_mg = samples.baseline_mg[:, order] * np.array(sign)
    return replace(_replace_features(samples, ACCELEROMETER.name, turned), baseline_mg=baseline_mg)
