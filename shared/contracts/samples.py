"""watch.accelerometer, watch.heart_rate, watch.steps: one modality of one upload (MessagePack, v1).

Samples are planar, (channels, n), little-endian: accelerometer int16 mg, heart rate uint8 bpm (0 = no reading),
steps int32 since midnight (-1 = no reading).
"""

from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.contracts.decoding import DECODE_ERRORS, Device
from shared.contracts.errors import InvalidRecord
from shared.contracts.modality import MODALITY_BY_NAME, Modality, max_span_ms

VERSION = 1
TICK = b""
"""A record with this value and no key holds no samples: its timestamp only moves the partition's log time on."""


class _Wire(msgspec.Struct, forbid_unknown_fields=False):
    v: int
    device: Device
    session: str
    seq: int
    t0_ms: int
    rate_hz: float
    received_at_ms: int
    sent_at_ms: int
    modalities: tuple[str, ...]
    context: dict[str, str] | None
    utc_offset_min: int | None
    n: int
    data: bytes


_decoder = msgspec.msgpack.Decoder(_Wire)
_encoder = msgspec.msgpack.Encoder()


class SampleRecord(msgspec.Struct, frozen=True, eq=False):
    """One modality of one upload, decoded. ``samples``: (channels, n) in the modality's wire dtype."""

    modality: Modality
    device: str
    session: str
    seq: int
    t0_ms: int
    rate_hz: float
    received_at_ms: int
    sent_at_ms: int
    modalities: tuple[str, ...]
    samples: NDArray[Any]
    context: dict[str, str] | None = None
    utc_offset_min: int | None = None

    @property
    def n(self) -> int:
        """Number of samples per channel."""
        n: int = self.samples.shape[1]
        return n

    @property
    def end_ms(self) -> float:
        """End of the sampled span: one period after the last time stamp."""
        return self.t0_ms + self.n * 1000.0 / self.rate_hz

    def encode(self) -> bytes:
        """Return MessagePack bytes of version 1."""
        return _encoder.encode(
            _Wire(
                VERSION,
                self.device,
                self.session,
                self.seq,
                self.t0_ms,
                self.rate_hz,
                self.received_at_ms,
                self.sent_at_ms,
                self.modalities,
                self.context,
                self.utc_offset_min,
                self.n,
                np.ascontiguousarray(self.samples, dtype=self.modality.dtype).tobytes(),
            )
        )


def decode_samples(modality: Modality, value: bytes) -> SampleRecord:
    """Read one record of the modality's topic.

    Raises:
        InvalidRecord: not MessagePack, an unknown version, or data that does not fit ``n``.
    """
    try:
        wire = _decoder.decode(value)
    except DECODE_ERRORS as error:
        raise InvalidRecord(f"{modality.name} record: {error}") from error
    if wire.v != VERSION:
        detail = f"{modality.name} record: version {wire.v}, this reader needs {VERSION}"
        raise InvalidRecord(detail, fault="version")
    size = wire.n * modality.channels * modality.dtype.itemsize
    if wire.n < 1 or len(wire.data) != size:
        raise InvalidRecord(f"{modality.name} record: n={wire.n} needs {size} bytes of data, got {len(wire.data)}")
    low, high = modality.upload_rate_hz
    if not low <= wire.rate_hz <= high:
        raise InvalidRecord(f"{modality.name} record: rate_hz {wire.rate_hz} outside {low:g} to {high:g}")
    if wire.n * 1000.0 / wire.rate_hz > max_span_ms(wire.rate_hz):
        detail = f"{modality.name} record: {wire.n} samples at {wire.rate_hz:g} Hz span more than an upload may"
        raise InvalidRecord(detail, fault="span")
    if not _are_announced(modality.name, wire.modalities):
        raise InvalidRecord(f"{modality.name} record: modalities {list(wire.modalities)} are invalid for an upload")
    return SampleRecord(
        modality,
        wire.device,
        wire.session,
        wire.seq,
        wire.t0_ms,
        wire.rate_hz,
        wire.received_at_ms,
        wire.sent_at_ms,
        wire.modalities,
        np.frombuffer(wire.data, dtype=modality.dtype).reshape(modality.channels, wire.n),
        wire.context,
        wire.utc_offset_min,
    )


@lru_cache(maxsize=256)
def _are_announced(name: str, modalities: tuple[str, ...]) -> bool:
    """Whether an upload with a record of this modality may announce these."""
    return name in modalities and all(each in MODALITY_BY_NAME for each in modalities)
