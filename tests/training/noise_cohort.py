"""Made-up people for tests of the experiments: no person was measured, nothing follows from what is learnt here."""

import numpy as np

from shared.contracts.modality import MODALITY_BY_NAME, MODALITY_NAMES
from training.datasets.recording import BASE_MS, Label, Recording
from training.experiment.cohort import Cohort
from training.experiment.results import Protocol


def protocol(**changed: object) -> Protocol:
    numbers = {
        "outer": "none",
        "inner_folds": 5,
        "baseline": "causal",
        "train_overlap": 0.5,
        "test_overlap": 0.0,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "max_epochs": 3,
        "patience": 2,
        "seed": 0,
    }
    return Protocol(**(numbers | changed))


def cohort(*, people: int = 7, windows: int = 6, seed: int = 0, names: tuple[str, ...] = MODALITY_NAMES) -> Cohort:
    """Noise, a little louder in class 1."""
    rng = np.random.default_rng(seed)
    n = people * windows
    target = np.arange(n) % 2
    features = {
        name: (rng.standard_normal((n, *MODALITY_BY_NAME[name].feature_shape)) * (1 + target[:, None, None])).astype(
            np.float16
        )
        for name in names
    }
    person = np.repeat(np.arange(people), windows)
    alone = np.arange(n) % windows < windows - 2
    everybody = tuple(f"p{number}" for number in range(people))
    return Cohort(features, target, person, alone, ("static", "dynamic"), everybody, {}, True)


def recording(labels: list[tuple[float, float, str]], *, seconds: int, seed: int = 0, person: str = "p") -> Recording:
    """25 Hz noise around gravity, a heart rate and steps every second; ``labels`` in seconds from the start."""
    rng = np.random.default_rng(seed)
    t_ms = BASE_MS + np.arange(seconds * 25) * 40.0
    second_ms = BASE_MS + np.arange(seconds) * 1000.0
    return Recording(
        person,
        "watch",
        "made up by tests/training/made_up.py",
        "CC0",
        t_ms,
        np.rint(rng.normal([100, -30, 980], 150, (len(t_ms), 3))),
        second_ms,
        np.rint(80 + rng.normal(0, 2, seconds)),
        second_ms,
        4000 + rng.integers(0, 3, seconds).cumsum(),
        tuple(Label(BASE_MS + start * 1000, BASE_MS + end * 1000, activity) for start, end, activity in labels),
        notes={"synthetic": "no person was measured"},
    )
