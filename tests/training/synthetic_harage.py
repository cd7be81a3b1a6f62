"""A made-up cohort in the layout of harAGE, so that its reader, the experiments and the report can be run.

No person was measured: ``about.json`` says "synthetic", and everything that reads it carries the word on. The signals
are tuned to be distinguished easily, so that nothing follows from how well a model does here.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.datasets.recording import BASE_MS

NOTE = "no person was measured: made up by tests/training/synthetic_harage.py"
ABOUT = {"source": "SYNTHETIC cohort in harAGE's layout", "licence": "CC0", "notes": {"synthetic": NOTE}}

G_MG = 1000.0
PAUSE_MS = 30_000


@dataclass(frozen=True)
class Motion:
    """Gravity's direction, a swing of so many mg at so many Hz, a heart rate, steps per second."""

    gravity: tuple[float, float, float]
    swing_mg: float = 0.0
    hz: float = 1.0
    bpm: float = 65.0
    steps_hz: float = 0.0


MOTIONS = {
    "resting": Motion((0.0, 0.2, 0.98), bpm=58.0),
    "lying": Motion((0.95, 0.2, 0.2), bpm=60.0),
    "sitting": Motion((0.1, 0.6, 0.8), 15.0, 0.3, 66.0),
    "standing": Motion((0.2, 0.97, 0.1), 25.0, 0.4, 74.0),
    "washing_hands": Motion((0.5, 0.5, 0.7), 250.0, 3.1, 80.0),
    "walking_low": Motion((0.1, 0.99, 0.1), 250.0, 1.7, 88.0, 1.7),
    "running": Motion((0.3, 0.9, 0.3), 1200.0, 2.7, 140.0, 2.7),
    "stairs_climbing": Motion((0.2, 0.95, 0.2), 320.0, 1.4, 118.0, 1.4),
    "strength_workout": Motion((0.6, 0.7, 0.4), 400.0, 0.6, 105.0),
    "flexibility_workout": Motion((0.8, 0.5, 0.3), 200.0, 0.2, 86.0),
    "cycling": Motion((0.7, 0.3, 0.64), 90.0, 1.2, 112.0),
}
"""By the file's name, in the order in which they are done."""


def write_cohort(
    root: Path,
    *,
    people: int = 3,
    minutes: float = 1.0,
    activities: tuple[str, ...] = tuple(MOTIONS),
    layout: str = "json",
    seed: int = 0,
) -> Path:
    """Write so many participants (``P01``, ...), each doing every activity for so many minutes; returns ``root``.

    ``layout``: json, json.gz or csv.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / "about.json").write_text(json.dumps(ABOUT))
    for number in range(1, people + 1):
        folder = root / f"P{number:02d}"
        folder.mkdir()
        rng = np.random.default_rng((seed, number))
        start_ms, total = BASE_MS + number * 86_400_000, int(rng.integers(0, 4000))
        for name in activities:
            content = _activity(MOTIONS[name], start_ms, minutes, total, rng)
            _write(folder, name, content, layout)
            start_ms += round(minutes * 60_000) + PAUSE_MS
            total = content["steps"]["total"][-1]
    return root


def _activity(motion: Motion, start_ms: int, minutes: float, total: int, rng: np.random.Generator) -> dict:
    seconds = round(minutes * 60)
    t_s = np.arange(seconds * 25) / 25.0
    phase = rng.uniform(0, 2 * np.pi, size=3)
    swing = np.sin(2 * np.pi * motion.hz * rng.uniform(0.92, 1.08) * t_s[:, None] + phase) * motion.swing_mg
    mg = np.array(motion.gravity) * G_MG + swing + rng.normal(scale=6.0, size=(len(t_s), 3))
    bpm = np.rint(motion.bpm + rng.normal(scale=4.0) + rng.normal(scale=1.5, size=seconds))
    steps = total + np.floor(np.arange(1, seconds + 1) * motion.steps_hz).astype(int)
    second_ms = (start_ms + np.arange(seconds) * 1000).tolist()
    x, y, z = np.rint(mg).astype(int).T.tolist()
    return {
        "accelerometer": {"t_ms": (start_ms + np.arange(len(t_s)) * 40).tolist(), "x": x, "y": y, "z": z},
        "heart_rate": {"t_ms": second_ms, "bpm": bpm.astype(int).tolist()},
        "steps": {"t_ms": second_ms, "total": steps.tolist()},
    }


def _write(folder: Path, name: str, content: dict, layout: str) -> None:
    if layout == "json":
        (folder / f"{name}.json").write_text(json.dumps(content))
    elif layout == "json.gz":
        (folder / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(content).encode()))
    else:
        for modality, columns in content.items():
            rows = zip(*columns.values(), strict=True)
            lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
            (folder / f"{name}.{modality}.csv").write_text("\n".join(lines) + "\n")
