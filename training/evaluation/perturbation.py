"""Change of the probabilities when single samples are wrong or heart rates are rare.

It covers the whole path from recordings to probabilities: plausibility checks, windows, baselines, features, model.

    python -m training.evaluation.perturbation models/default recordings=examples/recordings
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.contracts.labels import UNKNOWN
from shared.model.bundle import LoadedModel, load_bundle
from shared.model.decision import decide_all
from training.datasets import iter_dataset
from training.datasets.recording import Recording
from training.offline import offline_windows

EVERY_MS = 20_000
"""One wrong sample in each stretch as long as a window: every window has one or two."""
CONFIDENT = 0.8
GAPS_S = (4.0, 5.0, 5.0, 5.0, 6.0, 5.0, 9.0, 5.0, 4.0, 14.0)
"""Time between two readings of an Apple Watch (median 5 s, 95th percentile 9 s, 99th 14 s), slightly worse."""

Perturb = Callable[[Recording], Recording]


def _one_in_each_stretch(t_ms: NDArray[np.float64]) -> NDArray[np.intp]:
    """Index of the sample in the middle of each stretch."""
    if not len(t_ms):
        return np.empty(0, dtype=np.intp)
    middles = np.arange(t_ms[0] + EVERY_MS / 2, t_ms[-1], EVERY_MS)
    return np.unique(np.searchsorted(t_ms, middles))


def _run_in_each_stretch(t_ms: NDArray[np.float64], for_ms: float) -> NDArray[np.bool_]:
    """(n,) True for the sample in the middle of each stretch and those less than ``for_ms`` after it."""
    first = _one_in_each_stretch(t_ms)
    begun = np.searchsorted(first, np.arange(len(t_ms)), side="right") - 1
    since_ms = t_ms - t_ms[first[np.maximum(begun, 0)]] if len(first) else np.full(len(t_ms), np.inf)
    return np.asarray((begun >= 0) & (since_ms < for_ms))


def with_heart_rate(bpm: float, for_ms: float = 1.0) -> Perturb:
    """One reading of ``bpm``, or all of ``for_ms``."""

    def perturb(recording: Recording) -> Recording:
        wrong = _run_in_each_stretch(recording.heart_rate_t_ms, for_ms)
        return replace(recording, heart_rate_bpm=np.where(wrong, bpm, recording.heart_rate_bpm))

    return perturb


def with_random_heart_rate(low_bpm: float, high_bpm: float) -> Perturb:
    """Every reading is random."""

    def perturb(recording: Recording) -> Recording:
        drawn = np.random.default_rng(0).uniform(low_bpm, high_bpm, len(recording.heart_rate_bpm))
        return replace(recording, heart_rate_bpm=drawn)

    return perturb


def with_steps(jump: int) -> Perturb:
    """Add ``jump`` steps at once in each stretch; the total keeps them."""

    def perturb(recording: Recording) -> Recording:
        added = np.zeros(len(recording.steps_total), dtype=recording.steps_total.dtype)
        added[_one_in_each_stretch(recording.steps_t_ms)] = jump
        return replace(recording, steps_total=recording.steps_total + np.cumsum(added, dtype=added.dtype))

    return perturb


def with_step_resets(recording: Recording) -> Recording:
    """The total falls to zero in each stretch, as after a restart of the watch."""
    begins = _one_in_each_stretch(recording.steps_t_ms)
    last = np.searchsorted(begins, np.arange(len(recording.steps_total)), side="right") - 1
    taken = recording.steps_total[begins][np.maximum(last, 0)] * (last >= 0) if len(begins) else 0
    return replace(recording, steps_total=np.maximum(recording.steps_total - taken, 0))


def with_acceleration(mg: float, for_ms: float = 1.0, axes: Sequence[int] = (0, 1, 2)) -> Perturb:
    """One sample of ``mg``, or all of ``for_ms``, on ``axes``."""

    def perturb(recording: Recording) -> Recording:
        changed = recording.accelerometer_mg.copy()
        wrong = np.flatnonzero(_run_in_each_stretch(recording.accelerometer_t_ms, for_ms))
        changed[wrong[:, np.newaxis], list(axes)] = mg
        return replace(recording, accelerometer_mg=changed)

    return perturb


def with_rare_heart_rate(gaps_s: Iterable[float]) -> Perturb:
    """Keep readings at these distances, repeatedly; the others are left out."""
    times_s = np.cumsum(list(gaps_s))

    def perturb(recording: Recording) -> Recording:
        t_ms = recording.heart_rate_t_ms
        if not len(t_ms):
            return recording
        turns = np.arange(0, t_ms[-1] - t_ms[0], times_s[-1] * 1000)
        asked = t_ms[0] + np.concatenate([[0.0], (turns[:, None] + times_s * 1000).ravel()])
        kept = np.unique(np.searchsorted(t_ms, asked[asked <= t_ms[-1]]))
        return replace(recording, heart_rate_t_ms=t_ms[kept], heart_rate_bpm=recording.heart_rate_bpm[kept])

    return perturb


SINGLE: dict[str, tuple[str, Perturb]] = {
    "one heart rate of 255": ("heart_rate", with_heart_rate(255)),
    "one heart rate of 240": ("heart_rate", with_heart_rate(240)),
    "one heart rate of 25": ("heart_rate", with_heart_rate(25)),
    "one heart rate of 100": ("heart_rate", with_heart_rate(100)),
    "two seconds of 240 bpm": ("heart_rate", with_heart_rate(240, 2_000)),
    "two seconds of 25 bpm": ("heart_rate", with_heart_rate(25, 2_000)),
    "65,535 steps at once": ("steps", with_steps(65_535)),
    "30 steps at once": ("steps", with_steps(30)),
    "a total that starts again": ("steps", with_step_resets),
    "one sample of 17 g": ("accelerometer", with_acceleration(17_000)),
    "one sample of -8 g": ("accelerometer", with_acceleration(-8_000)),
    "one sample of 4 g": ("accelerometer", with_acceleration(4_000)),
    "0.3 s of 16 g on one axis": ("accelerometer", with_acceleration(16_000, 300, [1])),
}
"""Name -> the modality that changes, and how."""
BROKEN: dict[str, tuple[str, Perturb]] = {
    "heart rate of 200 throughout": ("heart_rate", with_heart_rate(200, EVERY_MS)),
    "heart rate drawn from 40 to 200": ("heart_rate", with_random_heart_rate(40, 200)),
}
"""Long faults look like real changes within one window: they are measured, without a limit."""
SELDOM: dict[str, tuple[str, Perturb]] = {
    "heart rate every 5 s": ("heart_rate", with_rare_heart_rate([5.0])),
    "heart rate of an Apple Watch": ("heart_rate", with_rare_heart_rate(GAPS_S)),
    "heart rate every 10 s": ("heart_rate", with_rare_heart_rate([10.0])),
}


@dataclass(frozen=True, slots=True)
class Movement:
    """Change of the probabilities, over the windows that have the modality when untouched.

    ``distance``: total variation, 0 to 1, mean and 95th percentile. ``changed``: share with another activity.
    ``confident``: share with another activity, besides "unknown", at a confidence of 0.8. ``kept``: share that keeps
    the modality.
    """

    name: str
    windows: int
    distance: float
    distance_p95: float
    changed: float
    confident: float
    kept: float


def with_heart_rates(recordings: Iterable[Recording]) -> list[Recording]:
    """Give recordings without a heart rate that of another one, repeated, because every real watch measures one.

    Donors take turns; without a donor all stay as they are.
    """
    recordings = list(recordings)
    lenders = [recording for recording in recordings if (recording.heart_rate_bpm > 0).sum() > 300]
    imputed = []
    for number, recording in enumerate(recordings):
        if not lenders or len(recording.heart_rate_bpm):
            imputed.append(recording)
            continue
        bpm = lenders[number % len(lenders)].heart_rate_bpm
        t_ms = np.arange(np.ceil(recording.accelerometer_t_ms[0]), recording.accelerometer_t_ms[-1], 1000.0)
        imputed.append(replace(recording, heart_rate_t_ms=t_ms, heart_rate_bpm=np.resize(bpm, len(t_ms))))
    return imputed


def movements(
    recordings: Iterable[Recording], model: LoadedModel, perturbations: dict[str, tuple[str, Perturb]]
) -> list[Movement]:
    """Compare each perturbation with the untouched recordings, window by window."""
    recordings = list(recordings)
    untouched = _classified(recordings, model)
    found = []
    for name, (modality, perturb) in perturbations.items():
        perturbed = _classified([perturb(recording) for recording in recordings], model)
        pairs = [
            (row, perturbed[key][0], perturbed[key][1][modality])
            for key, (row, mask) in untouched.items()
            if mask[modality] and key in perturbed
        ]
        if not pairs:
            continue
        before, after = (np.stack([pair[side] for pair in pairs]) for side in (0, 1))
        distance = np.abs(before - after).sum(axis=1) / 2
        answers = _activities(after, model)
        other = answers != _activities(before, model)
        found.append(
            Movement(
                name,
                len(pairs),
                float(distance.mean()),
                float(np.percentile(distance, 95)),
                float(other.mean()),
                float((other & (answers != UNKNOWN) & (after.max(axis=1) >= CONFIDENT)).mean()),
                float(np.mean([pair[2] for pair in pairs])),
            )
        )
    return found


def _classified(
    recordings: Iterable[Recording], model: LoadedModel
) -> dict[tuple[str, int], tuple[NDArray[np.float64], dict[str, bool]]]:
    windows = list(offline_windows(recordings))
    records = [window.record for window in windows]
    probabilities = model.probabilities(
        [record.features for record in records],
        [record.mask for record in records],
        [record.baseline.accelerometer.mg for record in records],
    )
    return {
        (window.person, window.raw.window_start_ms): (row, dict(window.record.mask))
        for window, row in zip(windows, probabilities, strict=True)
    }


def _activities(probabilities: NDArray[np.float64], model: LoadedModel) -> NDArray[np.str_]:
    return decide_all(probabilities, model.classes, model.abstain_below)


def main() -> None:
    """Print the tables of a bundle on data sets: MODEL KIND=DIR..."""
    bundle, *specs = sys.argv[1:]
    recordings = with_heart_rates(recording for spec in specs for recording in iter_dataset(spec))
    print("| | windows | distance | p95 | other activity | sure of it | keeps the modality |")
    print("|---|---|---|---|---|---|---|")
    for row in movements(recordings, load_bundle(Path(bundle)), SINGLE | BROKEN | SELDOM):
        print(
            f"| {row.name} | {row.windows:,} | {row.distance:.3f} | {row.distance_p95:.3f} | {row.changed:.1%}"
            f" | {row.confident:.1%} | {row.kept:.1%} |"
        )


if __name__ == "__main__":
    main()
