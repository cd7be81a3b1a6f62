"""Why a recording has no window, in words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.recordings import wrist
from training.datasets import Recording, read_recording
from training.offline import offline_windows
from training.unclassified import explain_no_window


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return read_recording(wrist(tmp_path, "ann", seconds=120))


def why(recording: Recording) -> str:
    assert not list(offline_windows([recording]))
    return explain_no_window(recording)


def kept(recording: Recording, samples: np.ndarray) -> Recording:
    return replace(
        recording,
        accelerometer_t_ms=recording.accelerometer_t_ms[samples],
        accelerometer_mg=recording.accelerometer_mg[samples],
    )


def test_short_recording_is_too_short(recording: Recording) -> None:
    assert why(kept(recording, np.arange(len(recording.accelerometer_t_ms)) < 400)).startswith("too short: 16.0 s")


def test_recording_with_gaps_is_too_short_between_them(recording: Recording) -> None:
    with_gaps = kept(recording, np.arange(len(recording.accelerometer_t_ms)) % 400 < 360)
    assert why(with_gaps).startswith("too short: 14.4 s of acceleration with no dropout over 1 s")


def test_low_rate_is_too_few_samples(recording: Recording) -> None:
    thin = kept(recording, np.arange(len(recording.accelerometer_t_ms)) % 10 == 0)
    assert why(thin).startswith("too few samples: the accelerometer's are 400 ms apart")
    # Gaps of 0.8 s: none of them is too long, all together they are.
    with_gaps = kept(recording, np.arange(len(recording.accelerometer_t_ms)) % 60 < 40)
    assert why(with_gaps) == "too few samples: no window has 90 % of its acceleration"


def test_zeros_are_named(recording: Recording) -> None:
    zeros = np.zeros_like(recording.accelerometer_mg)
    assert "all 0" in why(replace(recording, accelerometer_mg=zeros))


def test_one_sample_is_too_few(recording: Recording) -> None:
    assert why(kept(recording, np.arange(len(recording.accelerometer_t_ms)) == 7)).startswith("too short: 0.0 s")
