"""Templates of uploads: real recordings as JSON, without numbers and times."""

from collections.abc import Iterable
from dataclasses import replace

import msgspec
import numpy as np

from shared.contracts.modality import ACCELEROMETER
from shared.contracts.upload import Upload
from training.datasets.recording import Recording
from training.upload_simulator import UPLOAD_PERIOD_S, uploads

PERIOD_MS = UPLOAD_PERIOD_S * 1000
DEVICE = "load"

# Placeholders of the numbers that differ between watches; no other number in an upload is that large.
_SEQ, _SENT_MS, _T0_MS = 900_000_000_001, 900_000_000_002, 900_000_000_003


def make_templates(recordings: Iterable[Recording], session: str, device: str = DEVICE) -> list[bytes]:
    """Make a template of every whole upload: ``bytes`` to format with ``% (seq, sent_at_ms, t0_ms x 3)``.

    Whole means 5 s of all three modalities: 125 samples of acceleration at 25 Hz (other rates are resampled), 5 heart
    rates and 5 step counts. The result is empty if no recording has such an upload.
    """
    return [
        _template(upload, session, device)
        for recording in recordings
        for upload in uploads(_at_watch_rate(recording))
        if _is_whole(upload)
    ]


def _at_watch_rate(recording: Recording) -> Recording:
    t_ms, mg = recording.accelerometer_t_ms, recording.accelerometer_mg
    runs = np.split(t_ms, np.flatnonzero(np.diff(t_ms) > ACCELEROMETER.max_step_ms) + 1)
    grids = [np.arange(np.ceil(run[0]), run[-1], 1000.0 / ACCELEROMETER.rate_hz) for run in runs if len(run)]
    grid_ms = np.concatenate([np.empty(0), *grids])
    axes = [np.interp(grid_ms, t_ms, mg[:, axis]) for axis in range(mg.shape[1])] if len(t_ms) else []
    return replace(
        recording, accelerometer_t_ms=grid_ms, accelerometer_mg=np.stack(axes, axis=1).round() if axes else mg
    )


def _is_whole(upload: Upload) -> bool:
    acceleration, heart_rate, steps = upload.accelerometer, upload.heart_rate, upload.steps
    if acceleration is None or heart_rate is None or steps is None:
        return False
    return (
        len(acceleration.x) == UPLOAD_PERIOD_S * ACCELEROMETER.rate_hz
        and len(heart_rate.bpm) == len(steps.total) == UPLOAD_PERIOD_S
        and None not in heart_rate.bpm
        and None not in steps.total
    )


def _template(upload: Upload, session: str, device: str) -> bytes:
    assert upload.accelerometer
    assert upload.heart_rate
    assert upload.steps
    marked = msgspec.structs.replace(
        upload,
        device=device,
        session=session,
        seq=_SEQ,
        sent_at_ms=_SENT_MS,
        context=None,
        accelerometer=msgspec.structs.replace(upload.accelerometer, t0_ms=_T0_MS),
        heart_rate=msgspec.structs.replace(upload.heart_rate, t0_ms=_T0_MS),
        steps=msgspec.structs.replace(upload.steps, t0_ms=_T0_MS),
    )
    template = msgspec.json.encode(marked)
    for mark in (_SEQ, _SENT_MS, _T0_MS):
        template = template.replace(b"%d" % mark, b"%d")
    return template
