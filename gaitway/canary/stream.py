"""The canary's uploads: one recording, repeated for ever, as a stream without gaps.

Only whole uploads are sent, so the signal jumps where the recording begins again, but it has no gap. The uploads follow
the phase of the user's window grid. So a window's content depends only on the time from the grid's phase to the
window's start: every cycle has the same windows, whenever the canary was started and whoever is its user.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gaitway.errors import CommandError
from gaitway.load.templates import PERIOD_MS, make_templates
from shared.contracts.modality import WINDOW_MS
from training.datasets import read_recording

AFTER_GRID_MS = 2_000
"""Uploads end this long after a window's start or 5 s later: off the window grid, as those of real watches are."""
GRID_MS = 20_000
"""A cycle is a multiple of both hops."""
SESSION = "1"


@dataclass(frozen=True, slots=True)
class Stream:
    """Uploads from ``begin_ms`` (device clock) on, 5 s each; no sample lies before it. The grid is that of the user."""

    templates: Sequence[bytes]
    hop_ms: int
    phase_ms: int
    begin_ms: int

    def body(self, step: int) -> bytes:
        """JSON of the ``step``-th upload."""
        t0_ms = self.begin_ms + step * PERIOD_MS
        template = self.templates[(t0_ms - self.phase_ms - AFTER_GRID_MS) // PERIOD_MS % len(self.templates)]
        return template % (step, self.end_ms(step), t0_ms, t0_ms, t0_ms)

    def end_ms(self, step: int) -> int:
        """End of the upload's samples, which is when it is due."""
        return self.begin_ms + (step + 1) * PERIOD_MS

    def completed_by(self, step: int) -> range:
        """Starts of the windows that end in this upload and began after the stream did."""
        earliest_ms = max(self.begin_ms, self.end_ms(step - 1) - WINDOW_MS + 1)
        first = _next_start(earliest_ms, self.hop_ms, self.phase_ms)
        return range(first, self.end_ms(step) - WINDOW_MS + 1, self.hop_ms)


def _next_start(t_ms: int, hop_ms: int, phase_ms: int) -> int:
    """The first start of a window at this time or later."""
    return t_ms + (phase_ms - t_ms) % hop_ms


def begin_after(now_ms: int, hop_ms: int, phase_ms: int) -> int:
    """The next time at which a stream may begin: 2 s after the start of a window, which is then incomplete."""
    return _next_start(now_ms - AFTER_GRID_MS, hop_ms, phase_ms) + AFTER_GRID_MS


def device_of(now_ms: int) -> str:
    """A new device id for each run, so that the time between two runs is not a gap."""
    return f"canary-{now_ms // 1000:x}"


def cycle_of(recording: Path, device: str) -> list[bytes]:
    """The uploads of one cycle; see ``make_templates``.

    Raises:
        DatasetError: the recording cannot be read.
        CommandError: it has no 20 s of all three modalities.
    """
    templates = make_templates([read_recording(recording)], session=SESSION, device=device)
    whole = len(templates) * PERIOD_MS // GRID_MS * GRID_MS // PERIOD_MS
    if not whole:
        raise CommandError(f"{recording}: no 20 s of all three modalities")
    return templates[:whole]
