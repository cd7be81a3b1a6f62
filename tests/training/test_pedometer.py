from pathlib import Path

import numpy as np
import pytest

from training.datasets import read_recording
from training.pedometer import emulate_steps

EXAMPLES = Path(__file__).parents[2] / "examples" / "recordings"


def steps_per_second(name: str, activity: str) -> float:
    """Of all spans of the activity, counted on each alone."""
    recording = read_recording(EXAMPLES / name)
    steps, seconds = 0, 0.0
    for label in recording.labels:
        if label.activity == activity:
            inside = slice(*np.searchsorted(recording.accelerometer_t_ms, [label.start_ms, label.end_ms]))
            _, total = emulate_steps(recording.accelerometer_t_ms[inside], recording.accelerometer_mg[inside])
            steps += int(total[-1])
            seconds += (label.end_ms - label.start_ms) / 1000
    return steps / seconds


# Walking in selfback-026 begins with a stroll: 1.2 steps/s by its spectrum.
# Sitting in wisdm-1621 holds half a minute of shaking at 2.4 Hz, which a wrist cannot tell from a run.
@pytest.mark.parametrize(
    ("name", "least_walking", "most_sitting"),
    [
        ("wisdm-1600", 1.5, 0.1),
        ("wisdm-1621", 1.5, 0.4),
        ("wisdm-1650", 1.5, 0.1),
        ("selfback-026", 1.2, 0.1),
        ("selfback-041", 1.5, 0.1),
    ],
)
def test_steps_of_people_who_walk_are_at_their_pace(name, least_walking, most_sitting):
    assert least_walking <= steps_per_second(name, "walking") <= 2.2
    assert 2.2 <= steps_per_second(name, "running") <= 3.0
    assert steps_per_second(name, "sitting") <= most_sitting
    assert steps_per_second(name, "standing") <= 0.1


@pytest.mark.parametrize(
    ("name", "activity"), [("dsads-p1", "lying"), ("dsads-p1", "sitting"), ("e4-S03", "cycling"), ("e4-f01", "sitting")]
)
def test_people_who_do_not_walk_have_few_steps(name, activity):
    assert steps_per_second(name, activity) <= 0.1


def test_near_a_real_counter():
    recording = read_recording(EXAMPLES / "garmin-1")
    _, total = emulate_steps(recording.accelerometer_t_ms, recording.accelerometer_mg)
    counted = recording.steps_total[-1] - recording.steps_total[0]
    assert 0.75 * counted <= total[-1] <= 1.25 * counted


def walk(seconds: float, rate_hz: float, pace_hz: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    t_ms = np.arange(0, seconds * 1000, 1000 / rate_hz)
    z_mg = 1000 + 300 * np.sin(2 * np.pi * pace_hz * t_ms / 1000)
    return t_ms, np.stack([0 * z_mg, 0 * z_mg, z_mg], axis=1)


@pytest.mark.parametrize("rate_hz", [20, 25, 32, 100])
def test_a_known_pace_is_counted_at_any_rate(rate_hz):
    t_ms, total = emulate_steps(*walk(60, rate_hz))
    assert t_ms.tolist() == [n * 1000 for n in range(60)]
    assert total.dtype == np.int64
    assert abs(total[-1] - 118) <= 2
    assert np.all(np.diff(total) >= 0)


def test_nothing_is_reported_in_a_gap_and_the_count_goes_on():
    t_ms, mg = walk(60, 25)
    kept = (t_ms < 20_000) | (t_ms >= 40_000)
    second_ms, total = emulate_steps(t_ms[kept], mg[kept])
    assert not np.any((second_ms > 20_000) & (second_ms < 40_000))
    assert abs(total[-1] - 78) <= 4


def test_a_still_wrist_and_no_samples():
    t_ms, mg = walk(60, 25)
    assert emulate_steps(t_ms, np.full_like(mg, 577.0))[1].max() == 0
    assert [len(part) for part in emulate_steps(np.empty(0), np.empty((0, 3)))] == [0, 0]
    assert emulate_steps(t_ms[:1], mg[:1])[1].tolist() == [0]
