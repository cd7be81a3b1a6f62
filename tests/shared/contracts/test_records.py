"""The records' bytes: those in tests/data stay readable, and this version still writes them."""

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from shared.contracts.dead_letter import rejection_headers
from shared.contracts.errors import InvalidRecord
from shared.contracts.gap import Gap, decode_gap
from shared.contracts.modality import MODALITIES, MODALITY_BY_NAME, MODALITY_NAMES, Modality
from shared.contracts.samples import SampleRecord, decode_samples
from shared.contracts.window import (
    HOPS_MS,
    AccelerometerBaseline,
    Baseline,
    HeartRateBaseline,
    WindowRecord,
    decode_window,
)
from tests.shared.windows.signals import BASE_MS

DATA = Path(__file__).parents[2] / "data"


def samples_v1(modality: Modality) -> SampleRecord:
    """Extremes of the type, no reading, and a plain value."""
    values = {
        "accelerometer": [[12, 32_767, -32_767, 0], [-33, 1, -1, 0], [980, 256, -256, 0]],
        "heart_rate": [[72, 0, 255, 1]],
        "steps": [[4_011, -1, 2**31 - 1, 0]],
    }
    return SampleRecord(
        modality=modality,
        device="vivoactive3-7f3a",
        session="b1c0",
        seq=1_042,
        t0_ms=BASE_MS,
        rate_hz=float(modality.rate_hz),
        received_at_ms=BASE_MS + 5_321,
        sent_at_ms=BASE_MS + 5_123,
        modalities=MODALITY_NAMES,
        samples=np.array(values[modality.name], dtype=modality.dtype),
        context={"activity": "resting"},
        utc_offset_min=60,
    )


def window_v1() -> WindowRecord:
    """Every float16 pattern that arithmetic on whole numbers makes; steps masked."""
    arrays = {
        m.name: (np.arange(np.prod(m.feature_shape)) % 997 / 64 - 7).astype(np.float16).reshape(m.feature_shape)
        for m in MODALITIES
    }
    arrays["steps"][:] = 0
    return WindowRecord(
        device="vivoactive3-7f3a",
        window_start_ms=BASE_MS,
        hop_ms=10_000,
        feature_version=1,
        mask={"accelerometer": True, "heart_rate": True, "steps": False},
        coverage={"accelerometer": 1.0, "heart_rate": 0.95, "steps": 0.25},
        baseline=Baseline(AccelerometerBaseline("stable", (12, -33, 980)), HeartRateBaseline("resting", 61)),
        source_received_at_ms=BASE_MS + 21_100,
        utc_offset_min=60,
        features=arrays,
    )


def gap_v1() -> Gap:
    return Gap("u1", "vivoactive3-7f3a", "heart_rate", BASE_MS, BASE_MS + 20_000, "sensor_silent", 0.25)


def fields(record: SampleRecord | WindowRecord) -> dict[str, Any]:
    """What can be compared with ==: arrays as dtype, shape and bytes."""
    plain: dict[str, Any] = {name: getattr(record, name) for name in type(record).__annotations__}
    arrays = plain.pop("features", None) or {"samples": plain.pop("samples")}
    return plain | {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


@pytest.mark.parametrize("modality", MODALITIES, ids=lambda modality: modality.name)
def test_samples_are_decoded_as_encoded(modality: Modality) -> None:
    golden = (DATA / f"samples_v1_{modality.name}.msgpack").read_bytes()
    assert samples_v1(modality).encode() == golden
    assert fields(decode_samples(modality, golden)) == fields(samples_v1(modality))


def test_window_is_decoded_as_encoded() -> None:
    golden = (DATA / "window_v1.msgpack").read_bytes()
    assert window_v1().encode() == golden
    assert fields(decode_window(golden)) == fields(window_v1())


def test_gap_is_decoded_as_encoded() -> None:
    golden = (DATA / "gap_v1.json").read_bytes()
    assert gap_v1().encode() == golden
    assert decode_gap(golden) == gap_v1()


def test_the_bytes_are_little_endian_and_planar() -> None:
    wire = msgspec.msgpack.decode((DATA / "samples_v1_accelerometer.msgpack").read_bytes())
    assert (wire["v"], wire["n"]) == (1, 4)
    assert wire["data"][:8] == bytes.fromhex("0c00 ff7f 0180 0000")
    assert wire["data"][8:10] == bytes.fromhex("dfff")


def test_what_lies_in_memory_otherwise_is_written_the_same() -> None:
    record = samples_v1(MODALITY_BY_NAME["accelerometer"])
    by_columns = msgspec.structs.replace(record, samples=np.asfortranarray(record.samples).astype(">i2", order="F"))
    assert by_columns.encode() == record.encode()


def test_the_optional_may_be_absent() -> None:
    bare = msgspec.structs.replace(samples_v1(MODALITY_BY_NAME["steps"]), context=None, utc_offset_min=None)
    assert fields(decode_samples(bare.modality, bare.encode())) == fields(bare)
    bare_window = dataclasses.replace(window_v1(), utc_offset_min=None)
    assert fields(decode_window(bare_window.encode())) == fields(bare_window)


def test_a_field_that_a_later_writer_adds_is_ignored() -> None:
    wire = msgspec.msgpack.decode((DATA / "samples_v1_steps.msgpack").read_bytes())
    again = decode_samples(MODALITY_BY_NAME["steps"], msgspec.msgpack.encode(wire | {"firmware": "9.1"}))
    assert fields(again) == fields(samples_v1(MODALITY_BY_NAME["steps"]))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"v": 2}, "version 2"),
        ({"n": 5}, "n=5 needs 30 bytes of data, got 24"),
        ({"n": 0, "data": b""}, "n=0"),
        ({"rate_hz": 5.0}, "rate_hz 5.0 outside 10 to 200"),
        ({"rate_hz": float("nan")}, "rate_hz nan"),
        ({"modalities": ["steps"]}, "invalid for an upload"),
        ({"modalities": ["accelerometer", "skin"]}, "invalid for an upload"),
        ({"device": 7}, "device"),
    ],
)
def test_samples_that_cannot_be_read(changes: dict[str, Any], text: str) -> None:
    wire = msgspec.msgpack.decode((DATA / "samples_v1_accelerometer.msgpack").read_bytes())
    with pytest.raises(InvalidRecord, match=text):
        decode_samples(MODALITY_BY_NAME["accelerometer"], msgspec.msgpack.encode(wire | changes))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"v": 2}, "version 2"),
        ({"heart_rate": b""}, "heart_rate has 0 bytes, not 120"),
        ({"mask": {"accelerometer": True}}, "mask and coverage need"),
        ({"coverage": dict.fromkeys(MODALITY_NAMES, 1.1)}, "coverage is outside 0 to 1"),
        ({"window_start_ms": BASE_MS + 500}, "not on the grid"),
        ({"hop_ms": 5_000}, "not on the grid"),
        ({"steps": np.full(40, np.inf, dtype="<f2").tobytes()}, "steps holds a number that is not finite"),
        ({"baseline": {}}, "baseline"),
    ],
)
def test_windows_that_cannot_be_read(changes: dict[str, Any], text: str) -> None:
    wire = msgspec.msgpack.decode((DATA / "window_v1.msgpack").read_bytes())
    with pytest.raises(InvalidRecord, match=text):
        decode_window(msgspec.msgpack.encode(wire | changes))


def test_a_window_starts_at_the_phase_of_its_user_or_at_a_multiple_of_the_hop() -> None:
    """u1 has the phase 2 s of a hop of 10 s and of 20 s."""
    wire = msgspec.msgpack.decode((DATA / "window_v1.msgpack").read_bytes())
    for hop_ms in HOPS_MS:
        read = []
        for after_ms in range(0, 20_000, 500):
            value = msgspec.msgpack.encode(wire | {"window_start_ms": BASE_MS + after_ms, "hop_ms": hop_ms})
            try:
                read.append(decode_window(value, "u1").window_start_ms - BASE_MS)
            except InvalidRecord:
                continue
        assert read == [start + phase for start in range(0, 20_000, hop_ms) for phase in (0, 2_000)]


@pytest.mark.parametrize("value", [b"", b"\xc1", b"{}", b"\x90"])
def test_bytes_that_are_no_record(value: bytes) -> None:
    for modality in MODALITIES:
        with pytest.raises(InvalidRecord):
            decode_samples(modality, value)
    with pytest.raises(InvalidRecord):
        decode_window(value)
    with pytest.raises(InvalidRecord):
        decode_gap(value)


def test_a_span_ends_a_period_after_its_last_stamp() -> None:
    assert samples_v1(MODALITY_BY_NAME["accelerometer"]).end_ms == BASE_MS + 160
    assert samples_v1(MODALITY_BY_NAME["steps"]).end_ms == BASE_MS + 4_000


def test_a_rejected_record_says_where_it_came_from() -> None:
    headers = rejection_headers("features", "version 2", "watch.steps", 3, 41)
    assert dict(headers) == {
        "service": b"features",
        "reason": b"version 2",
        "origin_topic": b"watch.steps",
        "origin_partition": b"3",
        "origin_offset": b"41",
    }
