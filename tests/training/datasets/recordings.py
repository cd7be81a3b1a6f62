"""Small recordings, in memory and as files, for the tests of the readers."""

import re
from pathlib import Path

import numpy as np

from training.datasets import (
    Label,
    Recording,
)
from training.datasets.recording import BASE_MS

EXAMPLES = Path(__file__).parents[3] / "examples" / "recordings"

FULL = Recording(
    person="p1",
    device="watch",
    source="made for a test",
    licence="CC0",
    accelerometer_t_ms=np.array([BASE_MS, BASE_MS + 31.25, BASE_MS + 62.5]),
    accelerometer_mg=np.array([[0.5, 1.5, -999.6], [-2.5, 0.0, 1000.0], [16.0, -16.0, 1.0]]),
    heart_rate_t_ms=np.array([BASE_MS, BASE_MS + 1000.0]),
    heart_rate_bpm=np.array([71.5, 0.0]),
    steps_t_ms=np.array([BASE_MS + 0.5]),
    steps_total=np.array([4011]),
    labels=(Label(BASE_MS, BASE_MS + 30, "walking", "low"), Label(BASE_MS + 30, BASE_MS + 60, "resting")),
    notes={"steps": "emulated"},
    utc_offset_min=-60,
)
BARE = Recording("p2", "watch", "made for a test", "CC0", FULL.accelerometer_t_ms, FULL.accelerometer_mg)
ACC = "1574621345.00,1574621345.00,1574621345.00\r\n32.0,32.0,32.0\r\n" + "64,-32,0\r\n" * 64
"""Two seconds of an Empatica's acceleration, as its ACC.csv has them."""


def at(text: str) -> str:
    """The text with ``@40`` for 40 ms after ``BASE_MS``."""
    return re.sub("@([0-9]+)", lambda ms: str(BASE_MS + int(ms[1])), text)


def folder(path: Path, **files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in {"accelerometer.csv": "t_ms,x,y,z\n@0,1,2,3\n", **files}.items():
        (path / name).write_text(at(text))
    return path
