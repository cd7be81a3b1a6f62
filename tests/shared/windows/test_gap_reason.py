"""Why a modality does not pass, from what came; and a clock that steps back does not corrupt a window."""

import numpy as np
import pytest
from msgspec.structs import replace

from shared.contracts.gap import GapReason
from shared.contracts.samples import SampleRecord
from shared.windows.assembler import Assembler, AssemblyResult
from shared.windows.closed_window import ClosedWindow
from shared.windows.featurise import MemoryBaselines, featurise
from shared.windows.merge import LogRecord
from tests.shared.windows.signals import BASE_MS, GRACE_MS, Upload, wearer

WEARER = wearer(3, seconds=400)


def fold(uploads: list[Upload]) -> AssemblyResult:
    assembler, closed, log_ms = Assembler(10_000, GRACE_MS), AssemblyResult(), 0
    for index, upload in enumerate(uploads):
        for samples in upload:
            topic = ("accelerometer", "heart_rate", "steps").index(samples.modality.name)
            log_ms = BASE_MS + 5_000 * index
            closed.extend(assembler.fold(LogRecord(log_ms, topic, index, "u", samples)))
    closed.extend(assembler.advance(log_ms + 2 * GRACE_MS))
    return closed


def cut(seconds: int, *, every_s: int = 5) -> list[Upload]:
    return [
        WEARER.upload(begin * 1000, (begin + every_s) * 1000, seq)
        for seq, begin in enumerate(range(0, seconds, every_s))
    ]


def reasons(closed: AssemblyResult, modality: str, window_s: int) -> set[GapReason]:
    start_ms = BASE_MS + window_s * 1000
    return {gap.reason for gap in closed.gaps if gap.modality == modality and gap.start_ms == start_ms}


def changed(upload: Upload, modality: str, **changes: object) -> Upload:
    return [replace(s, **changes) if s.modality.name == modality else s for s in upload]


def test_zero_filling_is_no_signal() -> None:
    uploads = cut(60)
    for index in (4, 5, 6, 7):
        samples = uploads[index][0].samples.copy()
        samples[:, 20:] = 0
        uploads[index] = changed(uploads[index], "accelerometer", samples=samples)
    assert reasons(fold(uploads), "accelerometer", 20) == {"zero_filled"}


def test_a_single_axis_at_zero_is_a_signal() -> None:
    uploads = cut(60)
    for index in range(12):
        samples = uploads[index][0].samples.copy()
        samples[0] = 0
        uploads[index] = changed(uploads[index], "accelerometer", samples=samples)
    assert len(fold(uploads).windows) == 5


def test_a_missing_sequence_number_is_a_dropped_upload() -> None:
    uploads = cut(60)
    del uploads[5]
    assert reasons(fold(uploads), "accelerometer", 20) == {"dropped_upload"}


def test_dropped_uploads_and_unrecorded_time_have_different_reasons() -> None:
    def reasons_of_long_gaps(kept: list[Upload]) -> set[GapReason]:
        return {gap.reason for gap in fold(kept).gaps if gap.end_ms - gap.start_ms > 20_000}

    dropped = [*cut(300)[:12], *cut(300)[36:]]
    renumbered = [[replace(s, seq=seq) for s in upload] for seq, upload in enumerate(dropped)]
    assert reasons_of_long_gaps(dropped) == {"dropped_upload"}
    assert reasons_of_long_gaps(renumbered) == {"not_sent"}


def test_a_modality_that_uploads_leave_out_is_a_silent_sensor() -> None:
    uploads = cut(60)
    for index in range(4, 8):
        uploads[index] = [replace(s, modalities=("heart_rate", "steps")) for s in uploads[index][1:]]
    # Window 20 to 40 s has no accelerometer at all, its neighbours have half.
    assert reasons(fold(uploads), "accelerometer", 20) == {"sensor_silent"}


def test_a_rate_that_is_not_the_stated_one() -> None:
    uploads = cut(60)
    late = [changed(u, "accelerometer", t0_ms=BASE_MS + 5_800 * i) for i, u in enumerate(uploads)]
    assert reasons(fold(late), "accelerometer", 20) == {"wrong_rate"}


def test_nothing_said_but_too_little_is_coverage() -> None:
    assert reasons(fold(cut(55)), "accelerometer", 40) == {"coverage"}


@pytest.mark.parametrize("back_s", [7, 3, 20])
def test_a_clock_that_steps_back_does_not_corrupt_windows(back_s: int) -> None:
    """What was measured before the step stays as it was; only time that is new is taken from after it."""
    uploads = cut(100)
    step = [
        [replace(s, t0_ms=s.t0_ms - back_s * 1000 + 13) for s in upload] if index >= 8 else upload
        for index, upload in enumerate(uploads)
    ]
    whole = {w.window_start_ms: w for w in fold(uploads).windows}
    stepped = {w.window_start_ms: w for w in fold(step).windows}
    for start in (BASE_MS, BASE_MS + 10_000, BASE_MS + 20_000):
        np.testing.assert_array_equal(_mg(stepped[start]), _mg(whole[start]))


def test_a_frozen_heart_rate_is_masked_and_reported() -> None:
    uploads = [changed(u, "heart_rate", samples=np.full((1, 5), 72, dtype="u1")) for u in cut(395)]
    closed = fold(uploads)
    done = featurise(closed.windows, MemoryBaselines())
    masked = [record for _, record in done.windows if not record.mask["heart_rate"]]
    assert masked
    assert len(done.windows) == len(closed.windows)
    assert {(gap.modality, gap.reason) for gap in done.gaps} == {("heart_rate", "frozen")}
    assert all(not record.features["heart_rate"].any() for record in masked)


def test_implausible_accelerometer_gives_a_gap_and_no_window() -> None:
    still: list[SampleRecord]
    uploads = [changed(u, "accelerometer", samples=np.full((3, 125), 500, dtype="<i2")) for u in cut(395)]
    closed = fold(uploads)
    done = featurise(closed.windows, MemoryBaselines())
    still = [gap for gap in done.gaps if gap.modality == "accelerometer"]
    assert {gap.reason for gap in still} == {"frozen"}
    assert len(done.windows) + len(still) == len(closed.windows)


def _mg(window: ClosedWindow) -> np.ndarray:
    return window.signals["accelerometer"].values
