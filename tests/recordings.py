"""Short copies of the demo's recordings, for tests that replay them."""

from dataclasses import replace
from pathlib import Path

from training.datasets import read_recording, write_recording

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
