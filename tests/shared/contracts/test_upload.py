"""From an upload to its records."""

from typing import Any

import msgspec
import numpy as np
import pytest

from shared.contracts.errors import InvalidUpload
from shared.contracts.samples import decode_samples
from shared.contracts.time_limits import UPLOAD_FUTURE_MS, UPLOAD_PAST_MS
from shared.contracts.upload import Upload, to_records
from tests.shared.windows.signals import BASE_MS

BODY: dict[str, Any] = {
    "device": "vivoactive3-7f3a",
    "session": "b1c0",
    "seq": 1042,
    "sent_at_ms": BASE_MS + 5_123,
    "utc_offset_min": 60,
    "accelerometer": {"t0_ms": BASE_MS, "rate_hz": 25, "unit": "g", "x": [0.012, 1], "y": [-1, 0.0005], "z": [0, 2]},
    "heart_rate": {"t0_ms": BASE_MS + 1, "rate_hz": 1, "bpm": [72, None, 73.5]},
    "steps": {"t0_ms": BASE_MS + 2, "rate_hz": 1, "total": [4011, None, 4012]},
    "context": {"activity": "resting", "intensity": "low"},
}


def upload(**changes: Any) -> Upload:
    body = {name: value for name, value in (BODY | changes).items() if value is not None}
    return msgspec.json.decode(msgspec.json.encode(body), type=Upload)


def with_part(name: str, **changes: Any) -> Upload:
    return upload(**{name: BODY[name] | changes})


def test_one_record_per_modality() -> None:
    records = to_records(upload(), BASE_MS + 6_000)
    assert [record.modality.name for record in records] == ["accelerometer", "heart_rate", "steps"]
    for offset, record in enumerate(records):
        assert record.t0_ms == BASE_MS + offset
        assert record.modalities == ("accelerometer", "heart_rate", "steps")
        assert (record.device, record.session, record.seq) == ("vivoactive3-7f3a", "b1c0", 1042)
        assert (record.received_at_ms, record.sent_at_ms) == (BASE_MS + 6_000, BASE_MS + 5_123)
        assert record.context == {"activity": "resting", "intensity": "low"}
        assert record.utc_offset_min == 60
    accelerometer, heart_rate, steps = (record.samples for record in records)
    np.testing.assert_array_equal(accelerometer, [[12, 1000], [-1000, 0], [0, 2000]])
    np.testing.assert_array_equal(heart_rate, [[72, 0, 74]])
    np.testing.assert_array_equal(steps, [[4011, -1, 4012]])


def test_the_records_survive_the_topic() -> None:
    for record in to_records(upload(), BASE_MS):
        again = decode_samples(record.modality, record.encode())
        np.testing.assert_array_equal(again.samples, record.samples)
        assert again.samples.dtype == record.modality.dtype


@pytest.mark.parametrize("present", ["accelerometer", "heart_rate", "steps"])
def test_every_modality_is_optional(present: str) -> None:
    absent = dict.fromkeys({"accelerometer", "heart_rate", "steps"} - {present})
    (record,) = to_records(upload(**absent, context=None, utc_offset_min=None), BASE_MS)
    assert record.modality.name == present
    assert record.modalities == (present,)
    assert record.context is None
    assert record.utc_offset_min is None


def test_an_upload_without_any() -> None:
    with pytest.raises(InvalidUpload, match="at least one of accelerometer, heart_rate, steps"):
        to_records(upload(accelerometer=None, heart_rate=None, steps=None), BASE_MS)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (with_part("accelerometer", y=[0.0]), "accelerometer.y"),
        (with_part("accelerometer", z=[0.0, 0.0, 0.0]), "accelerometer.z"),
        (with_part("accelerometer", y=[0.0, -32.768]), "accelerometer.y[1]"),
        (with_part("accelerometer", unit="m/s2", x=[321.4, 0.0]), "accelerometer.x[0]"),
        (with_part("accelerometer", unit="mg", z=[0.0, 32_768.0]), "accelerometer.z[1]"),
        (with_part("accelerometer", rate_hz=9.9), "accelerometer.rate_hz"),
        (with_part("accelerometer", rate_hz=201), "accelerometer.rate_hz"),
        (with_part("heart_rate", rate_hz=0), "heart_rate.rate_hz"),
        (with_part("heart_rate", rate_hz=-1), "heart_rate.rate_hz"),
        (with_part("steps", rate_hz=25), "steps.rate_hz"),
        (with_part("accelerometer", t0_ms=BASE_MS + UPLOAD_FUTURE_MS), "accelerometer.t0_ms"),
        (with_part("heart_rate", t0_ms=BASE_MS - UPLOAD_PAST_MS - 1), "heart_rate.t0_ms"),
    ],
)
def test_what_the_types_cannot_say(body: Upload, field: str) -> None:
    with pytest.raises(InvalidUpload) as error:
        to_records(body, BASE_MS)
    assert error.value.field == field
    assert str(error.value).startswith(field)


def test_nan_that_gets_past_the_parser() -> None:
    body = upload()
    assert body.accelerometer is not None
    body.accelerometer.z[1] = float("nan")
    with pytest.raises(InvalidUpload) as error:
        to_records(body, BASE_MS)
    assert error.value.field == "accelerometer.z[1]"


def test_the_edges_of_what_is_allowed() -> None:
    edge = BASE_MS + UPLOAD_FUTURE_MS - 80
    assert to_records(with_part("accelerometer", t0_ms=edge), BASE_MS)
    assert to_records(with_part("heart_rate", t0_ms=BASE_MS - UPLOAD_PAST_MS), BASE_MS)
    widest = to_records(with_part("accelerometer", x=[32.767, -32.767]), BASE_MS)[0]
    assert widest.samples[0].tolist() == [32_767, -32_767]


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "a b"},
        {"device": ""},
        {"session": "x" * 65},
        {"seq": -1},
        {"sent_at_ms": 1.5},
        {"utc_offset_min": 1_441},
        {"surprise": 1},
        {"context": {"activity": "dancing"}},
        {"steps": BODY["steps"] | {"total": [2**31]}},
        {"heart_rate": BODY["heart_rate"] | {"bpm": [256]}},
        {"heart_rate": BODY["heart_rate"] | {"bpm": []}},
        {"accelerometer": BODY["accelerometer"] | {"unit": "ft/s2"}},
        {"accelerometer": BODY["accelerometer"] | {"x": [None, 1]}},
    ],
)
def test_what_the_types_say(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        upload(**changes)


@pytest.mark.parametrize(
    ("rate_hz", "n", "is_taken"),
    [
        (1.0, 86_400, True),
        (1.0, 86_401, False),
        (5.0, 100_000, True),
        (0.1, 360, True),
        (0.1, 361, False),
        (0.4, 60_000, False),
    ],
)
def test_how_much_time_an_upload_may_span(rate_hz: float, n: int, is_taken: bool) -> None:
    body = with_part("heart_rate", t0_ms=BASE_MS - 4 * 86_400_000, rate_hz=rate_hz, bpm=[None] * n)
    if is_taken:
        assert to_records(body, BASE_MS)
        return
    with pytest.raises(InvalidUpload, match="span") as error:
        to_records(body, BASE_MS)
    assert (error.value.field, error.value.fault) == ("heart_rate", "span")
