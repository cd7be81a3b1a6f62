"""Short copies of the demo's recordings, for tests that replay them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from training.datasets import Recording, read_recording, write_recording

BEGIN_MS = 1_795_000_000_000
EXAMPLES = Path(__file__).parents[1] / "examples" / "recordings"


def cut(name: str, folder: Path, *, from_s: float = 0, to_s: float = 1e9, person: str | None = None) -> Path:
    """Write ``folder / person`` with the samples of a recording from ``from_s`` to ``to_s`` after its first one."""
    whole = read_recording(EXAMPLES / name)
    begin_ms = whole.accelerometer_t_ms[0] + from_s * 1000
    end_ms = whole.accelerometer_t_ms[0] + to_s * 1000
    accelerometer, heart_rate, steps = (
        (t_ms >= begin_ms) & (t_ms < end_ms)
        for t_ms in (whole.accelerometer_t_ms, whole.heart_rate_t_ms, whole.steps_t_ms)
    )
    path = folder / (person or name)
    write_recording(
        path,
        replace(
            whole,
            person=path.name,
            accelerometer_t_ms=whole.accelerometer_t_ms[accelerometer],
            accelerometer_mg=whole.accelerometer_mg[accelerometer],
            heart_rate_t_ms=whole.heart_rate_t_ms[heart_rate],
            heart_rate_bpm=whole.heart_rate_bpm[heart_rate],
            steps_t_ms=whole.steps_t_ms[steps],
            steps_total=whole.steps_total[steps],
            labels=tuple(label for label in whole.labels if label.end_ms > begin_ms and label.start_ms < end_ms),
        ),
    )
    return path


def wrist(
    folder: Path,
    name: str,
    *,
    rate_hz: float = 25.0,
    seconds: float = 45.0,
    person: str | None = None,
    still: bool = False,
    burst_ms: float = 0.0,
    device: str = "watch",
) -> Path:
    """Write ``folder / name``: a swinging wrist of nobody, or one at rest, sampled at a rate; gives its path."""
    t_ms = np.arange(0, seconds * 1000, 1000 / rate_hz)
    swing = np.zeros(len(t_ms)) if still else 300 * np.sin(2 * np.pi * 1.8 * t_ms / 1000)
    mg = np.stack([900 + swing, np.full(len(t_ms), 80.0), 200 - swing / 2], axis=1)
    if burst_ms:
        t_ms = np.ceil(t_ms / burst_ms) * burst_ms + np.arange(len(t_ms)) % 50 * 0.01
    t_ms = np.round(BEGIN_MS + t_ms, 2)
    write_recording(folder / name, Recording(person or name, device, "made up: a sine", "CC0", t_ms, mg))
    return folder / name
