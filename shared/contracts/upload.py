"""The upload: what a watch or a phone sends to ingest (architecture.md, section 2), and the records it becomes."""

import struct
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from shared.contracts.errors import InvalidUpload
from shared.contracts.labels import ContextActivity, Intensity
from shared.contracts.modality import ACCELEROMETER, HEART_RATE, MODALITY_BY_NAME, STEPS, Modality, max_span_ms
from shared.contracts.quantise import MG_PER_UNIT, accelerometer_mg, heart_rate_bpm, steps_total
from shared.contracts.samples import SampleRecord
from shared.contracts.time_limits import DAY_MS, HOUR_MS, UPLOAD_FUTURE_MS, UPLOAD_PAST_MS

INT16_MAX = 32_767
MAX_SAMPLES = 100_000
"""Per modality of one upload: more than an hour at 25 Hz; a longer back-fill needs several uploads."""

# `$` alone would accept a line feed at the end.
NAME_IN_WORDS = "1 to 64 of the letters A to Z and a to z, the digits, and . _ : -"
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}$(?!\n)")]
Stamp = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_000)]
Axis = Annotated[list[float], msgspec.Meta(min_length=1, max_length=MAX_SAMPLES)]


class Accelerometer(msgspec.Struct, forbid_unknown_fields=True):
    """Three axes of equal length in ``unit``, gravity included."""

    t0_ms: Stamp
    rate_hz: float
    unit: Literal["mg", "g", "m/s2"]
    x: Axis
    y: Axis
    z: Axis


class HeartRate(msgspec.Struct, forbid_unknown_fields=True):
    """Heart rate in beats per minute; null where the sensor had no reading."""

    t0_ms: Stamp
    rate_hz: float
    bpm: Annotated[
        list[Annotated[float, msgspec.Meta(ge=0, le=255)] | None],
        msgspec.Meta(min_length=1, max_length=MAX_SAMPLES),
    ]


class Steps(msgspec.Struct, forbid_unknown_fields=True):
    """Steps counted since local midnight; null where the watch had no count."""

    t0_ms: Stamp
    rate_hz: float
    total: Annotated[
        list[Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None],
        msgspec.Meta(min_length=1, max_length=MAX_SAMPLES),
    ]


class Context(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Statement of the wearer; never reaches the model."""

    activity: ContextActivity | None = None
    intensity: Intensity | None = None


class Upload(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One upload; times are device-clock milliseconds since the Unix epoch. At least one modality is required."""

    device: Name
    session: Name
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    sent_at_ms: Stamp
    utc_offset_min: Annotated[int, msgspec.Meta(ge=-1_440, le=1_440)] | None = None
    accelerometer: Accelerometer | None = None
    heart_rate: HeartRate | None = None
    steps: Steps | None = None
    context: Context | None = None


def to_records(upload: Upload, received_at_ms: int) -> list[SampleRecord]:
    """Convert an upload to quantised records, one per modality that it contains.

    Raises:
        InvalidUpload: a length, rate, range or time that the types do not check; it names the field.
    """
    parts: list[tuple[Modality, Accelerometer | HeartRate | Steps, np.ndarray[Any, Any]]] = []
    if upload.accelerometer is not None:
        parts.append((ACCELEROMETER, upload.accelerometer, _axes(upload.accelerometer)))
    if upload.heart_rate is not None:
        parts.append((HEART_RATE, upload.heart_rate, heart_rate_bpm(upload.heart_rate.bpm)[np.newaxis]))
    if upload.steps is not None:
        parts.append((STEPS, upload.steps, steps_total(upload.steps.total)[np.newaxis]))
    if not parts:
        raise InvalidUpload("", f"an upload needs at least one of {', '.join(MODALITY_BY_NAME)}", fault="missing")
    modalities = tuple(modality.name for modality, _, _ in parts)
    context = msgspec.to_builtins(upload.context) if upload.context is not None else None
    if upload.sent_at_ms > received_at_ms + UPLOAD_FUTURE_MS:
        ahead_s = (upload.sent_at_ms - received_at_ms) / 1000
        detail = f"the watch's clock is {ahead_s:.0f} s ahead; 300 s are allowed"
        raise InvalidUpload("sent_at_ms", detail, fault="time")
    records = []
    for modality, part, samples in parts:
        _check_rate(modality, part.rate_hz)
        span_ms = samples.shape[1] * 1000.0 / part.rate_hz
        _check_span(modality, part.rate_hz, span_ms)
        _check_time(modality, part.t0_ms, part.t0_ms + span_ms, received_at_ms)
        records.append(
            SampleRecord(
                modality=modality,
                device=upload.device,
                session=upload.session,
                seq=upload.seq,
                t0_ms=part.t0_ms,
                rate_hz=part.rate_hz,
                received_at_ms=received_at_ms,
                sent_at_ms=upload.sent_at_ms,
                modalities=modalities,
                samples=samples,
                context=context or None,
                utc_offset_min=upload.utc_offset_min,
            )
        )
    return records


def _axes(part: Accelerometer) -> np.ndarray[Any, Any]:
    lengths = (len(part.x), len(part.y), len(part.z))
    for axis, length in zip("yz", lengths[1:], strict=True):
        if length != lengths[0]:
            raise InvalidUpload(f"accelerometer.{axis}", f"has {length} samples, x has {lengths[0]}")
    # struct needs half the time that numpy needs for a list.
    packed = struct.pack(f"{3 * lengths[0]}d", *part.x, *part.y, *part.z)
    values = np.frombuffer(packed, dtype=np.float64).reshape(3, lengths[0])
    limit = INT16_MAX / MG_PER_UNIT[part.unit]
    if not np.abs(values).max() <= limit:
        axis, index = np.argwhere(~(np.abs(values) <= limit))[0]
        raise InvalidUpload(
            f"accelerometer.{'xyz'[axis]}[{index}]", f"{values[axis, index]:g} {part.unit} is beyond 32.767 g"
        )
    return accelerometer_mg(values, part.unit)


def _check_rate(modality: Modality, rate_hz: float) -> None:
    low, high = modality.upload_rate_hz
    if not low <= rate_hz <= high:
        detail = f"{rate_hz:g} Hz is no rate of a watch: {low:g} to {high:g}"
        raise InvalidUpload(f"{modality.name}.rate_hz", detail, fault="rate")


def _check_span(modality: Modality, rate_hz: float, span_ms: float) -> None:
    allowed_ms = max_span_ms(rate_hz)
    if span_ms > allowed_ms:
        detail = f"the samples span {span_ms / HOUR_MS:.1f} h; {allowed_ms / HOUR_MS:.0f} h are allowed at this rate"
        raise InvalidUpload(modality.name, detail, fault="span")


def _check_time(modality: Modality, t0_ms: int, end_ms: float, received_at_ms: int) -> None:
    if end_ms > received_at_ms + UPLOAD_FUTURE_MS:
        ahead_s = (end_ms - received_at_ms) / 1000
        detail = f"samples lie {ahead_s:.0f} s in the future; 300 s are allowed"
        raise InvalidUpload(f"{modality.name}.t0_ms", detail, fault="time")
    if t0_ms < received_at_ms - UPLOAD_PAST_MS:
        days = (received_at_ms - t0_ms) / DAY_MS
        detail = f"samples are {days:.1f} days old; 7 days are allowed"
        raise InvalidUpload(f"{modality.name}.t0_ms", detail, fault="time")
