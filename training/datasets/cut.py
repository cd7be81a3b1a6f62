"""Cut recordings to their labelled parts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.recording import DatasetError, Floats, Label, Recording

PAUSE_MS = 30_000
"""Pause between two pieces that were not neighbours; no window bridges it."""


def cut(sessions: Sequence[Recording], minutes_per_activity: float) -> Recording:
    """Keep at most this many minutes of each activity and join the pieces of one person's sessions.

    The minutes are shared evenly among the spans of an activity, from the middle of each (at the ends people
    get ready and stop). The pieces stay in time order; the first keeps its time, longer pauses become ``PAUSE_MS``.

    Raises:
        DatasetError: nothing is labelled.
    """
    sessions = sorted(sessions, key=lambda session: float(session.accelerometer_t_ms[0]))
    spans = Counter(label.activity for session in sessions for label in session.labels)
    if not spans:
        raise DatasetError(sessions[0].person, "nothing is labelled, so that nothing is left of a cut")
    pieces: list[Recording] = []
    for session in sessions:
        for label in session.labels:
            piece = _piece(session, label, minutes_per_activity * 60_000 / spans[label.activity])
            if len(piece.accelerometer_t_ms):
                pieces.append(_follow(pieces[-1], piece) if pieces else piece)
    note = (
        f"at most {minutes_per_activity:g} min per activity, from the middle of each labelled span; the rest left out; "
        f"pauses over {PAUSE_MS // 1000} s closed to {PAUSE_MS // 1000} s"
    )
    return replace(
        pieces[0],
        accelerometer_t_ms=np.concatenate([piece.accelerometer_t_ms for piece in pieces]),
        accelerometer_mg=np.concatenate([piece.accelerometer_mg for piece in pieces]),
        heart_rate_t_ms=np.concatenate([piece.heart_rate_t_ms for piece in pieces]),
        heart_rate_bpm=np.concatenate([piece.heart_rate_bpm for piece in pieces]),
        steps_t_ms=np.concatenate([piece.steps_t_ms for piece in pieces]),
        steps_total=np.concatenate([piece.steps_total for piece in pieces]),
        labels=tuple(label for piece in pieces for label in piece.labels),
        notes=sessions[0].notes | {"cut": note},
    )


def _piece(session: Recording, label: Label, most_ms: float) -> Recording:
    """The middle of one label's span, on whole milliseconds."""
    half_ms = min(most_ms, label.end_ms - label.start_ms) / 2
    middle_ms = (label.start_ms + label.end_ms) / 2
    start_ms, end_ms = float(np.ceil(middle_ms - half_ms)), float(np.floor(middle_ms + half_ms))

    def inside(t_ms: Floats, values: NDArray[Any]) -> tuple[Floats, NDArray[Any]]:
        kept = slice(*np.searchsorted(t_ms, [start_ms, end_ms]))
        return t_ms[kept], values[kept]

    accelerometer_t_ms, accelerometer_mg = inside(session.accelerometer_t_ms, session.accelerometer_mg)
    heart_rate_t_ms, heart_rate_bpm = inside(session.heart_rate_t_ms, session.heart_rate_bpm)
    steps_t_ms, steps_total = inside(session.steps_t_ms, session.steps_total)
    return replace(
        session,
        accelerometer_t_ms=accelerometer_t_ms,
        accelerometer_mg=accelerometer_mg,
        heart_rate_t_ms=heart_rate_t_ms,
        heart_rate_bpm=heart_rate_bpm,
        steps_t_ms=steps_t_ms,
        steps_total=steps_total,
        labels=(Label(start_ms, end_ms, label.activity, label.intensity),),
    )


def _follow(last: Recording, piece: Recording) -> Recording:
    """Move a piece so that it begins at most ``PAUSE_MS`` after the last one's end."""
    pause_ms = piece.labels[0].start_ms - last.labels[-1].end_ms
    return shift(piece, min(0.0, PAUSE_MS - pause_ms))


def shift(recording: Recording, by_ms: float) -> Recording:
    """The same recording, later by so many ms."""
    return replace(
        recording,
        accelerometer_t_ms=recording.accelerometer_t_ms + by_ms,
        heart_rate_t_ms=recording.heart_rate_t_ms + by_ms,
        steps_t_ms=recording.steps_t_ms + by_ms,
        labels=tuple(
            replace(label, start_ms=label.start_ms + by_ms, end_ms=label.end_ms + by_ms) for label in recording.labels
        ),
    )
