"""The log that every contestant of the features stage reads: watches that replay real recordings.

The signals are those of the recordings with a heart rate, at a watch's 25 Hz and 1 Hz, without their gaps; each watch
starts at another place of them and at another time within the hop. More than PATTERNS watches repeat the patterns as
other users, so the expected windows are computed once per pattern, offline.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gaitway.paths import RECORDINGS
from shared.contracts.modality import ACCELEROMETER, HEART_RATE, WINDOW_MS
from shared.contracts.samples import SampleRecord
from shared.contracts.upload import to_records
from shared.contracts.window import WindowRecord
from shared.signal.plausibility import MAX_SPIKE_BPM
from shared.windows.closed_window import ClosedWindow
from shared.windows.featurise import MemoryBaselines, featurise
from training.datasets import Recording, find_sources
from training.datasets.recording import Floats
from training.offline import HOP_MS, assemble
from training.upload_simulator import uploads

PATTERNS = 40
DEVICE = "bench"

# Start of watches within the first or the second half of a hop, without phases in which a window's content depends on
# the reason of its closing: a window that lacks less than a second at an edge passes only after its grace period, which
# does not end while the log is read at full speed; and Gaitway closes one that lacks 250 ms without waiting.
_PHASES_MS = (1_500, 3_900)
_HALF_HOP_MS = HOP_MS // 2
_SECOND_MS = 1000
_SHIFT_S = 60
"""Between the stretches of the recordings that are tried for a pattern."""


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """The data of one watch, and the expected output.

    ``uploads``: the records of each upload, in time order. ``windows`` and ``records``: every window that its uploads
    complete, before and after the features, as the offline pipeline has them.
    """

    uploads: list[list[SampleRecord]]
    windows: list[ClosedWindow]
    records: list[WindowRecord]


@dataclass(frozen=True, slots=True, eq=False)
class FeaturesLog:
    """User i has the data of pattern ``i % len(patterns)``; all watches upload ``seconds`` of data at the same time."""

    users: list[str]
    patterns: list[Pattern]
    seconds: int

    def of(self, user: int) -> Pattern:
        """The data of the i-th user's watch."""
        return self.patterns[user % len(self.patterns)]

    def first(self, watches: int) -> "FeaturesLog":
        """The same log with only the first watches."""
        return FeaturesLog(self.users[:watches], self.patterns, self.seconds)

    @property
    def expected(self) -> dict[tuple[str, int], WindowRecord]:
        """Every window of the log by (user, window_start_ms)."""
        return {
            (user, record.window_start_ms): record
            for number, user in enumerate(self.users)
            for record in self.of(number).records
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Signal:
    """s whole seconds: ``mg`` (s, 25, 3), ``bpm`` (s,), ``steps`` (s,) taken in each second."""

    mg: Floats
    bpm: Floats
    steps: Floats


def make_features_log(watches: int, seconds: int, now_ms: int) -> FeaturesLog:
    """``watches`` watches with ``seconds`` of data each, which ends within the last minute before ``now_ms``."""
    signal = _joined(_signal_of(source.read()) for source in find_sources(f"recordings={RECORDINGS}"))
    begin_ms = (now_ms - seconds * _SECOND_MS - WINDOW_MS) // WINDOW_MS * WINDOW_MS
    count = min(PATTERNS, watches)
    low, high = _PHASES_MS
    patterns = []
    for number in range(count):
        phase_ms = low + (high - low) * number // count + number % 2 * _HALF_HOP_MS
        starts = range(number * len(signal.bpm) // count, 2 * len(signal.bpm), _SHIFT_S)
        tried = (_pattern(_recording(signal, first, seconds, begin_ms + phase_ms)) for first in starts)
        patterns.append(next(pattern for pattern in tried if pattern is not None))
    return FeaturesLog([f"user-{number}" for number in range(watches)], patterns, seconds)


def _signal_of(recording: Recording) -> _Signal:
    """The seconds of a recording with all three modalities; empty if one is missing."""
    t_ms, mg = recording.accelerometer_t_ms, recording.accelerometer_mg
    read = recording.heart_rate_bpm > 0
    heart_ms, bpm = recording.heart_rate_t_ms[read], recording.heart_rate_bpm[read]
    if not len(heart_ms) or not len(recording.steps_t_ms):
        return _Signal(np.empty((0, ACCELEROMETER.rate_hz, 3)), np.empty(0), np.empty(0))
    seconds_ms = np.arange(np.ceil(t_ms[0] / _SECOND_MS) * _SECOND_MS, t_ms[-1] - _SECOND_MS, _SECOND_MS)
    dropouts = np.concatenate([[0], np.cumsum(np.diff(t_ms) > ACCELEROMETER.max_step_ms)])
    before = np.searchsorted(t_ms, seconds_ms, side="right") - 1
    after = np.searchsorted(t_ms, seconds_ms + _SECOND_MS)
    beat = np.searchsorted(heart_ms, seconds_ms, side="right") - 1
    fresh = (beat >= 0) & (seconds_ms - heart_ms[beat] <= HEART_RATE.max_step_ms)
    kept = seconds_ms[(dropouts[after] == dropouts[before]) & fresh]
    grid_ms = kept[:, np.newaxis] + np.arange(ACCELEROMETER.rate_hz) * (_SECOND_MS / ACCELEROMETER.rate_hz)
    step = np.maximum(np.searchsorted(recording.steps_t_ms, kept, side="right") - 1, 0)
    total = recording.steps_total[step]
    return _Signal(
        mg=np.stack([np.interp(grid_ms, t_ms, axis) for axis in mg.T], axis=-1).round(),
        bpm=bpm[np.searchsorted(heart_ms, kept, side="right") - 1],
        steps=np.maximum(np.diff(total, prepend=total[:1]), 0).astype(np.float64),
    )


def _joined(signals: Iterable[_Signal]) -> _Signal:
    parts = list(signals)
    mg, bpm, steps = (np.concatenate([getattr(part, name) for part in parts]) for name in ("mg", "bpm", "steps"))
    return _Signal(mg, bpm, steps)


def _recording(signal: _Signal, first: int, seconds: int, t0_ms: int) -> Recording:
    """``seconds`` of the signal from its second ``first``, repeated, with times from ``t0_ms``."""
    rows = (first + np.arange(seconds)) % len(signal.bpm)
    mg = signal.mg[rows].reshape(-1, 3)
    seconds_ms = t0_ms + np.arange(seconds, dtype=np.float64) * _SECOND_MS
    return Recording(
        person="pattern",
        device=DEVICE,
        source="examples/recordings",
        licence="see there",
        accelerometer_t_ms=t0_ms + np.arange(len(mg), dtype=np.float64) * (_SECOND_MS / ACCELEROMETER.rate_hz),
        accelerometer_mg=mg,
        heart_rate_t_ms=seconds_ms,
        heart_rate_bpm=signal.bpm[rows],
        steps_t_ms=seconds_ms,
        steps_total=np.cumsum(signal.steps[rows]).astype(np.int64),
    )


def _pattern(recording: Recording) -> Pattern | None:
    """The pattern of a recording; None where a quality check fails, because the peers have none."""
    # Where two recordings are joined, the heart rate may jump; a window can begin with such a sample.
    jumps = np.abs(np.diff(recording.heart_rate_bpm)).max() > MAX_SPIKE_BPM
    assembled = assemble(recording)
    complete = [window for window in assembled.windows if window.closed_by == "complete"]
    checked = featurise(complete, MemoryBaselines())
    if jumps or assembled.implausible_samples or checked.gaps:
        return None
    done = checked.windows
    return Pattern(
        uploads=[to_records(upload, upload.sent_at_ms) for upload in uploads(recording)],
        windows=[raw for raw, _ in done],
        records=[record for _, record in done],
    )
