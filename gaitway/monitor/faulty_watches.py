"""The demo's recordings as live watches. Three of them are faulty, so that there are gaps with known reasons."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from gaitway.replay import Watch, users_of
from shared.contracts.token import make_token
from shared.contracts.upload import Upload
from training.datasets import find_sources
from training.datasets.recording import DatasetError, Recording
from training.upload_simulator import UPLOAD_PERIOD_S, uploads

PAUSE_MS = 20_000
"""A pause of at least this length between two uploads is due to the wearer."""
LEAD = 0.25
"""A watch begins this share of the run before its recording's first pause, so that the pause is in the run."""


def make_faulty_watches(recordings: Path, jwt_key: str, now_ms: int, seconds: float) -> list[Watch]:
    """One watch per recording, ready to send ``seconds`` of it from ``now_ms`` on in real time.

    Raises:
        DatasetError: there is no recording, or one cannot be read.
    """
    found = [source.read() for source in find_sources(f"recordings={recordings}")]
    return [
        _make_watch(recording, user, make_token(jwt_key, user), now_ms, seconds)
        for recording, user in zip(found, users_of(found), strict=True)
    ]


def _make_watch(recording: Recording, user: str, token: str, now_ms: int, seconds: float) -> Watch:
    whole = list(uploads(recording))
    if not whole:
        raise DatasetError(recording.person, "no watch could send this recording: no two samples are one signal")
    first = _find_first(whole, round(seconds * LEAD * 1000))
    shift_ms = now_ms + UPLOAD_PERIOD_S * 1000 - whole[first].sent_at_ms
    moved = list(uploads(recording, shift_ms=shift_ms))[first:]
    part = [upload for upload in moved if upload.sent_at_ms <= now_ms + seconds * 1000]
    return Watch(recording, token, shift_ms, list(add_faults(recording.person, part)), user=user)


def _find_first(whole: Sequence[Upload], lead_ms: int) -> int:
    """Return the number of the upload to begin with."""
    for before, after in pairwise(whole):
        if after.sent_at_ms - before.sent_at_ms > PAUSE_MS:
            first_ms = before.sent_at_ms - lead_ms
            return next(number for number, upload in enumerate(whole) if upload.sent_at_ms >= first_ms)
    return 0


def add_faults(person: str, sent: Sequence[Upload]) -> Iterator[Upload]:
    """Apply the faults of this person's watch; most watches have none."""
    for number, upload in enumerate(sent):
        late = number % 6 in (4, 5)  # Ten of every thirty seconds.
        if person == "dsads-p1" and late:
            continue  # Lost between watch and phone; the sequence numbers show it.
        if person == "e4-f11" and upload.heart_rate is not None and number >= 2:
            silent = [None] * len(upload.heart_rate.bpm)
            yield msgspec.structs.replace(upload, heart_rate=msgspec.structs.replace(upload.heart_rate, bpm=silent))
        elif person == "wisdm-1621" and upload.accelerometer is not None and late:
            zeros = [0.0] * len(upload.accelerometer.x)
            filled = msgspec.structs.replace(upload.accelerometer, x=zeros, y=zeros, z=zeros)
            yield msgspec.structs.replace(upload, accelerometer=filled)
        else:
            yield upload
