"""The recordings of the demo: whose they are, and what their README says of them."""

import numpy as np
import pytest

from tests.training.datasets.recordings import EXAMPLES
from training.datasets import (
    ACTIVITIES,
    read_recording,
    read_recordings,
)
from training.datasets.held_out import DEMO_RECORDINGS
from training.pedometer import STEPS_NOTE


def test_the_demo_recordings_are_the_held_out_people():
    recordings = {recording.person: recording for recording in read_recordings(EXAMPLES)}
    assert sorted(recordings) == sorted(DEMO_RECORDINGS) == sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir())
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*")) < 6e6
    for recording in recordings.values():
        span_min = (recording.accelerometer_t_ms[-1] - recording.accelerometer_t_ms[0]) / 60_000
        assert 10 <= span_min <= 25
        assert np.abs(recording.accelerometer_mg).max() < 2**15
        assert np.all(np.diff(recording.steps_total) >= 0)
        assert {label.activity for label in recording.labels} <= set(ACTIVITIES)


def test_the_demo_recordings_are_what_their_readme_says():
    rows = [line.split("|")[1:-1] for line in (EXAMPLES / "README.md").read_text().splitlines() if line.startswith("|")]
    header, _, *table = [[cell.strip() for cell in row] for row in rows[: len(DEMO_RECORDINGS) + 2]]
    activities = header[2:-4]
    for person, device, *minutes, labelled, span, heart_rate, steps in table:
        recording = read_recording(EXAMPLES / person)
        truth = recording.minutes_by_activity()
        assert recording.device == device
        assert minutes == [f"{truth[name]:.1f}" if name in truth else "-" for name in activities]
        assert labelled == f"{sum(truth.values()):.1f}"
        assert span == f"{(recording.accelerometer_t_ms[-1] - recording.accelerometer_t_ms[0]) / 60_000:.1f}"
        assert (heart_rate == "yes") == (len(recording.heart_rate_t_ms) > 0)
        assert (steps == "emulated") == (recording.notes["steps"] == STEPS_NOTE)
        licences = [row[3].strip() for row in rows if len(row) == 5 and person in row[0]]
        assert licences == [recording.licence]


@pytest.mark.parametrize("person", ["wisdm-1600", "wisdm-1621", "wisdm-1650", "selfback-026", "selfback-041"])
def test_the_demo_recordings_have_a_watchs_axes(person):
    recording = read_recording(EXAMPLES / person)
    t_ms = recording.accelerometer_t_ms
    (walking, *more) = [label for label in recording.labels if label.activity == "walking"]
    walks = np.any([(t_ms >= label.start_ms) & (t_ms < label.end_ms) for label in (walking, *more)], axis=0)
    along, across, out = np.abs(recording.accelerometer_mg[walks].mean(axis=0))
    assert along > 750
    assert along > 1.5 * max(across, out)


def test_garmin_log_keeps_its_gaps():
    recording = read_recording(EXAMPLES / "garmin-1")
    steps_s = np.diff(recording.accelerometer_t_ms) / 1000
    assert np.round(steps_s[steps_s > 1], 1).tolist() == [550.6, 1.4]
    assert recording.steps_total[[0, -1]].tolist() == [299, 350]
    assert recording.steps_t_ms[0] < recording.accelerometer_t_ms[0]
    assert len(recording.heart_rate_t_ms) == 238
    assert recording.utc_offset_min == 120
