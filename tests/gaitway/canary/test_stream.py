"""What the canary sends, against the contract's own count of windows."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from gaitway.canary.settings import RECORDING
from gaitway.canary.stream import AFTER_GRID_MS, Stream, begin_after, cycle_of
from gaitway.errors import CommandError
from gaitway.expected import WINDOW_MS, passes
from gaitway.load.templates import PERIOD_MS
from services.ingest.validation import decode_upload
from shared.contracts.upload import Upload
from tests.recordings import cut
from tests.shared.windows.signals import BASE_MS


@pytest.fixture(scope="module")
def cycle() -> list[bytes]:
    return cycle_of(RECORDING, "canary-1")


def stamps_ms(stream: Stream, steps: int) -> np.ndarray:
    parts = [decode_upload(stream.body(step)).accelerometer for step in range(steps)]
    return np.concatenate([part.t0_ms + np.arange(len(part.x)) * 1000.0 / part.rate_hz for part in parts])


@pytest.mark.parametrize(("hop_ms", "phase_ms"), [(10_000, 0), (10_000, 7_000), (20_000, 0), (20_000, 13_000)])
def test_its_windows_are_those_that_the_contract_expects(cycle, hop_ms, phase_ms):
    steps = 30
    stream = Stream(cycle, hop_ms, phase_ms, begin_after(BASE_MS + 1, hop_ms, phase_ms))
    sent_ms = stamps_ms(stream, steps)
    around = range(BASE_MS + phase_ms - 2 * WINDOW_MS, int(sent_ms[-1]), hop_ms)
    completed = [start for step in range(steps) for start in stream.completed_by(step)]
    assert completed == [start for start in around if passes(sent_ms, start)]
    assert len(completed) > 5


def test_no_window_completes_before_its_last_sample_is_sent(cycle):
    stream = Stream(cycle, 10_000, 3_000, begin_after(BASE_MS, 10_000, 3_000))
    for step in range(30):
        for start in stream.completed_by(step):
            assert stream.end_ms(step - 1) < start + WINDOW_MS <= stream.end_ms(step)


def test_a_window_holds_the_same_part_of_the_recording_in_every_cycle_and_run(cycle):
    first = Stream(cycle, 10_000, 0, begin_after(BASE_MS, 10_000, 0))
    shift = len(cycle) // 4 * 2  # Whole windows of the grid, and not a whole cycle.
    second = Stream(cycle, 10_000, 0, first.begin_ms + shift * PERIOD_MS)
    for step in range(3):
        late, early = second.body(step), first.body(step + shift)
        assert replaced(late) == replaced(early)
        assert replaced(first.body(step)) == replaced(first.body(step + len(cycle)))
        assert replaced(first.body(step)) != replaced(late)


def test_another_user_sends_the_same_later_by_the_difference_of_their_phases(cycle):
    first = Stream(cycle, 10_000, 0, begin_after(BASE_MS, 10_000, 0))
    other = Stream(cycle, 10_000, 7_000, begin_after(BASE_MS, 10_000, 7_000))
    later = (other.begin_ms - 7_000 - first.begin_ms) // PERIOD_MS
    for step in range(3):
        assert replaced(other.body(step)) == replaced(first.body(step + later))
        assert other.end_ms(step) == first.end_ms(step + later) + 7_000


def replaced(body: bytes) -> list[object]:
    upload = msgspec.json.decode(body, type=Upload)
    return [upload.accelerometer.x, upload.heart_rate.bpm, upload.steps.total]


@pytest.mark.parametrize("phase_ms", [0, 9_000])
def test_it_begins_soon_and_off_the_grid(phase_ms):
    for late_ms in range(0, 20_000, 700):
        begin_ms = begin_after(BASE_MS + late_ms, 10_000, phase_ms)
        assert 0 <= begin_ms - (BASE_MS + late_ms) < 10_000
        assert (begin_ms - phase_ms) % 10_000 == AFTER_GRID_MS


def test_a_recording_that_lacks_a_modality_is_refused(tmp_path: Path):
    with pytest.raises(CommandError, match="no 20 s of all three modalities"):
        cycle_of(cut("wisdm-1600", tmp_path, to_s=60), "canary-1")
