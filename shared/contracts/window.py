"""activity.windows: the features of one 20 s window, with all inputs of the model (MessagePack, v1)."""

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.contracts.decoding import DECODE_ERRORS, Device
from shared.contracts.errors import InvalidRecord
from shared.contracts.grid import grid_phase_ms
from shared.contracts.modality import MODALITIES, MODALITY_NAMES

VERSION = 1
HOPS_MS = (10_000, 20_000)
ACCELEROMETER_STATES = ("unavailable", "cold", "stable")
HEART_RATE_STATES = ("unavailable", "default", "still", "resting")

FeatureArrays = dict[str, NDArray[np.float16]]
"""Per modality name: (channels, time) float16; zeros where the mask is False."""


class AccelerometerBaseline(msgspec.Struct, frozen=True):
    """Running median per axis, in mg."""

    state: Literal["unavailable", "cold", "stable"]
    mg: tuple[int, int, int]


class HeartRateBaseline(msgspec.Struct, frozen=True):
    """Heart rate at rest, in bpm, and its source."""

    state: Literal["unavailable", "default", "still", "resting"]
    bpm: int


class Baseline(msgspec.Struct, frozen=True):
    """The baseline that a window's features were computed with."""

    accelerometer: AccelerometerBaseline
    heart_rate: HeartRateBaseline


class _Wire(msgspec.Struct):
    v: int
    device: Device
    window_start_ms: int
    hop_ms: int
    feature_version: int
    mask: dict[str, bool]
    coverage: dict[str, float]
    baseline: Baseline
    source_received_at_ms: int
    utc_offset_min: int | None
    accelerometer: bytes
    heart_rate: bytes
    steps: bytes


_EXPONENT = np.uint16(0x7C00)
"""The exponent bits of a float16, all set in what is not finite; numpy's ``isfinite`` converts each number first."""

_decoder = msgspec.msgpack.Decoder(_Wire)
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True, eq=False)
class WindowRecord:
    """One window as inference reads it."""

    device: str
    window_start_ms: int
    hop_ms: int
    feature_version: int
    mask: dict[str, bool]
    coverage: dict[str, float]
    baseline: Baseline
    source_received_at_ms: int
    utc_offset_min: int | None
    features: FeatureArrays

    def encode(self) -> bytes:
        """Return MessagePack bytes of version 1; arrays as little-endian float16."""
        arrays = (self.features[m.name].astype("<f2", copy=False).tobytes() for m in MODALITIES)
        return _encoder.encode(
            _Wire(
                VERSION,
                self.device,
                self.window_start_ms,
                self.hop_ms,
                self.feature_version,
                self.mask,
                self.coverage,
                self.baseline,
                self.source_received_at_ms,
                self.utc_offset_min,
                *arrays,
            )
        )


def _is_on_grid(wire: _Wire, user: str | None) -> bool:
    """Whether the window has its user's phase, or phase 0, which GAITWAY_PHASE_PER_USER=false gives all users."""
    phase_ms = wire.window_start_ms % wire.hop_ms
    if user is None:
        return phase_ms % 1000 == 0
    return phase_ms in (0, grid_phase_ms(user, wire.hop_ms))


def decode_window(value: bytes, user: str | None = None) -> WindowRecord:
    """Read one record of activity.windows. ``user``, from its key, must have this grid, if given.

    Raises:
        InvalidRecord: not MessagePack, an unknown version, off the grid, or arrays that break the contract.
    """
    try:
        wire = _decoder.decode(value)
    except DECODE_ERRORS as error:
        raise InvalidRecord(f"window record: {error}") from error
    if wire.v != VERSION:
        raise InvalidRecord(f"window record: version {wire.v}, this reader needs {VERSION}", fault="version")
    if wire.hop_ms not in HOPS_MS or not _is_on_grid(wire, user):
        raise InvalidRecord(f"window record: start {wire.window_start_ms} is not on the grid of hop {wire.hop_ms} ms")
    if set(wire.mask) != set(MODALITY_NAMES) or set(wire.coverage) != set(MODALITY_NAMES):
        raise InvalidRecord(f"window record: mask and coverage need {', '.join(MODALITY_NAMES)} and nothing else")
    if not all(0.0 <= coverage <= 1.0 for coverage in wire.coverage.values()):
        raise InvalidRecord("window record: a coverage is outside 0 to 1")
    features: FeatureArrays = {}
    for modality in MODALITIES:
        data: bytes = getattr(wire, modality.name)
        channels, n = modality.feature_shape
        if len(data) != channels * n * 2:
            raise InvalidRecord(f"window record: {modality.name} has {len(data)} bytes, not {channels * n * 2}")
        features[modality.name] = np.frombuffer(data, dtype="<f2").reshape(channels, n)
        if (np.frombuffer(data, dtype="<u2") & _EXPONENT).max() == _EXPONENT:
            raise InvalidRecord(f"window record: {modality.name} holds a number that is not finite")
    return WindowRecord(
        device=wire.device,
        window_start_ms=wire.window_start_ms,
        hop_ms=wire.hop_ms,
        feature_version=wire.feature_version,
        mask=wire.mask,
        coverage=wire.coverage,
        baseline=wire.baseline,
        source_received_at_ms=wire.source_received_at_ms,
        utc_offset_min=wire.utc_offset_min,
        features=features,
    )
