import contextlib
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.validation import decode_upload, gunzip
from shared.contracts.errors import InvalidUpload
from shared.contracts.upload import MAX_SAMPLES, to_records
from tests.services.ingest.uploads import NOW_MS, literal, upload, without

DAY_MS = 86_400_000


def error_response(body: bytes) -> InvalidUpload:
    with pytest.raises(InvalidUpload) as info:
        to_records(decode_upload(body), NOW_MS)
    return info.value


def test_the_example_becomes_three_records():
    records = to_records(decode_upload(json.dumps(upload()).encode()), NOW_MS)
    assert [(record.modality.name, record.n) for record in records] == [
        ("accelerometer", 5),
        ("heart_rate", 3),
        ("steps", 3),
    ]
    assert all(record.modalities == ("accelerometer", "heart_rate", "steps") for record in records)
    assert records[0].samples.tolist()[2] == [981, 979, 984, 980, 982]
    assert records[1].samples.tolist() == [[72, 0, 73]]
    assert {record.received_at_ms for record in records} == {NOW_MS}


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("accelerometer.y", [1, 2, 3], "accelerometer.y"),
        ("accelerometer.z", [1] * 6, "accelerometer.z"),
        ("accelerometer.x", [], "accelerometer.x"),
        ("accelerometer.x", [0] * (MAX_SAMPLES + 1), "accelerometer.x"),
        ("accelerometer.x.3", "12", "accelerometer.x[3]"),
        ("accelerometer.x.3", None, "accelerometer.x[3]"),
        ("accelerometer.x.3", 2**63, "accelerometer.x[3]"),
        ("accelerometer.x.3", 2**70, "accelerometer.x[3]"),
        ("accelerometer.x.3", -32_768, "accelerometer.x[3]"),
        ("accelerometer.rate_hz", 3, "accelerometer.rate_hz"),
        ("accelerometer.rate_hz", 0, "accelerometer.rate_hz"),
        ("accelerometer.rate_hz", -25, "accelerometer.rate_hz"),
        ("accelerometer.rate_hz", 5e-324, "accelerometer.rate_hz"),
        ("accelerometer.unit", "lb", "accelerometer.unit"),
        ("accelerometer.unit", 9.81, "accelerometer.unit"),
        ("accelerometer.t0_ms", NOW_MS + 300_000, "accelerometer.t0_ms"),
        ("accelerometer.t0_ms", NOW_MS - 7 * DAY_MS - 1, "accelerometer.t0_ms"),
        ("accelerometer.t0_ms", -1, "accelerometer.t0_ms"),
        ("accelerometer.t0_ms", 2**63, "accelerometer.t0_ms"),
        ("accelerometer.t0_ms", 1.5, "accelerometer.t0_ms"),
        ("accelerometer.w", [1], "accelerometer.w"),
        ("accelerometer", [], "accelerometer"),
        ("heart_rate.bpm.0", 256, "heart_rate.bpm[0]"),
        ("heart_rate.bpm.0", -1, "heart_rate.bpm[0]"),
        ("heart_rate.rate_hz", 25, "heart_rate.rate_hz"),
        ("steps.total.2", 2**31, "steps.total[2]"),
        ("steps.total.2", -1, "steps.total[2]"),
        ("steps.total.2", 1.5, "steps.total[2]"),
        ("seq", 2**63, "seq"),
        ("seq", 2**200, "seq"),
        ("seq", -1, "seq"),
        ("seq", True, "seq"),
        ("device", "a b", "device"),
        ("device", "a\n", "device"),
        ("device", "", "device"),
        ("device", "a" * 65, "device"),
        ("session", "é", "session"),
        ("sent_at_ms", "now", "sent_at_ms"),
        ("utc_offset_min", 1_441, "utc_offset_min"),
        ("context.activity", "sleeping", "context.activity"),
        ("context.mood", "good", "context.mood"),
        ("user", "u1", "user"),
    ],
)
def test_a_wrong_field_is_named(path, value, field):
    error = error_response(json.dumps(upload(path, value)).encode())
    assert (error.field, error.status) == (field, 422)
    assert error.detail


@pytest.mark.parametrize("path", ["device", "seq", "sent_at_ms", "accelerometer.y", "heart_rate.bpm", "steps.rate_hz"])
def test_a_missing_field_is_named(path):
    error = error_response(json.dumps(without(path)).encode())
    assert (error.field, error.status, error.detail) == (path, 422, "is missing")


@pytest.mark.parametrize(
    "path", ["accelerometer.x.3", "heart_rate.bpm.1", "steps.total.0", "accelerometer.rate_hz", "seq"]
)
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400])
def test_what_is_no_number_is_named(path, text):
    error = error_response(literal(path, text))
    *parents, last = path.split(".")
    expected = ".".join(parents) + (f"[{last}]" if last.isdigit() else f".{last}")
    assert (error.field, error.status) == (expected.removeprefix("."), 422)


def test_nan_in_an_unknown_member_is_still_refused():
    assert error_response(literal("extra", "[[NaN]]")).field == "extra"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"{",
        b"{'device': 1}",
        b'{"device": "\xff"}',
        b'{"device": "\\ud800"}',
        b"\x00",
        b"nan",
        b'{"device": NaN',
        b'{"device": NaN, "a": ' + b"[" * 100_000,
        json.dumps(upload()).encode()[:-1],
        json.dumps(upload()).encode() + b"{}",
        json.dumps(upload()).encode("utf-16"),
    ],
)
def test_what_is_no_json_is_malformed(body):
    assert error_response(body).status == 400


@pytest.mark.parametrize("body", [b"null", b"[]", b"3", b'"NaN"', b"[" * 100_000, b'{"context":' * 100_000])
def test_json_that_is_no_upload(body):
    assert error_response(body).status == 422


@pytest.mark.parametrize("body", [b"NaN", b"[NaN]"])
def test_a_document_of_nan_alone(body):
    assert error_response(body).status in (400, 422)


def test_an_upload_needs_a_modality():
    body = upload()
    for name in ("accelerometer", "heart_rate", "steps"):
        del body[name]
    error = error_response(json.dumps(body).encode())
    assert error.status == 422
    assert "accelerometer, heart_rate, steps" in error.detail
    body["accelerometer"] = None
    assert error_response(json.dumps(body).encode()).status == 422


def test_the_answer_does_not_echo_much():
    error = error_response(json.dumps(upload("k" * 10_000, 1)).encode())
    assert len(error.field) <= 200
    error = error_response(json.dumps(upload("accelerometer.unit", "u" * 10_000)).encode())
    assert len(error.detail) <= 200


def test_edges_of_time_are_accepted():
    newest = NOW_MS + 300_000 - 200
    assert to_records(decode_upload(json.dumps(upload("accelerometer.t0_ms", newest)).encode()), NOW_MS)
    oldest = NOW_MS - 7 * DAY_MS
    assert to_records(decode_upload(json.dumps(upload("accelerometer.t0_ms", oldest)).encode()), NOW_MS)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(body):
    with contextlib.suppress(InvalidUpload):
        decode_upload(body)


@given(st.data())
def test_no_mutation_raises_anything_else(data):
    body = bytearray(json.dumps(upload()).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b"NaN", b"]", b"{", b'"', b"1e999", b"-", b"\xff", b",", b"null", b"99999999999999999999"])
        )
    with contextlib.suppress(InvalidUpload):
        to_records(decode_upload(bytes(body)), NOW_MS)


def test_gunzip_gives_the_content():
    assert gunzip(gzip.compress(b"abc" * 1_000), 3_000) == b"abc" * 1_000
    assert gunzip(gzip.compress(b"", mtime=0), 10) == b""


@pytest.mark.parametrize("cut", [0, 1, 9, 20, -8, -1])
def test_a_truncated_stream_is_malformed(cut):
    with pytest.raises(InvalidUpload) as info:
        gunzip(gzip.compress(bytes(range(256)))[:cut], 1_000)
    assert info.value.status == 400


@pytest.mark.parametrize(
    "body",
    [b"{}", b"\x1f\x8b", b"not gzip at all", gzip.compress(b"a", mtime=0) + b"x", gzip.compress(b"a", mtime=0) * 2],
)
def test_what_is_no_single_gzip_stream_is_malformed(body):
    with pytest.raises(InvalidUpload) as info:
        gunzip(body, 1_000)
    assert info.value.status == 400


def test_a_bomb_is_refused_without_unpacking_it():
    bomb = gzip.compress(bytes(200 * 1024**2), 9)
    with pytest.raises(InvalidUpload) as info:
        gunzip(bomb, 1024**2)
    assert info.value.status == 413


def test_a_byte_order_mark_is_no_part_of_the_body():
    assert decode_upload(b"\xef\xbb\xbf" + json.dumps(upload()).encode()) == decode_upload(
        json.dumps(upload()).encode()
    )


@pytest.mark.parametrize(
    "path", ["seq", "sent_at_ms", "utc_offset_min", "accelerometer.t0_ms", "steps.t0_ms", "steps.total.1"]
)
def test_a_whole_number_may_be_written_as_a_float(path):
    assert decode_upload(literal(path, "7.0")) == decode_upload(literal(path, "7"))
    with pytest.raises(InvalidUpload) as error:
        decode_upload(literal(path, "7.5"))
    assert error.value.status == 422
    assert error.value.field.replace("[", ".").rstrip("]") == path


@pytest.mark.parametrize("end", [',"seq":3}', ',"s\\u0065q":3}', ',"device":"other"}', ',"seq":1042}', ',"seq":null}'])
def test_a_member_that_is_there_twice_is_refused(end):
    with pytest.raises(InvalidUpload, match="there twice") as error:
        decode_upload(json.dumps(upload()).encode()[:-1] + end.encode())
    assert error.value.status == 400


@pytest.mark.parametrize("part", ["accelerometer", "heart_rate", "steps", "context"])
def test_a_member_that_is_there_twice_in_a_part(part):
    inner = json.dumps(upload()[part])
    name, value = next(iter(upload()[part].items()))
    twice = inner[:-1] + f', "{name}": {json.dumps(value)}}}'
    with pytest.raises(InvalidUpload, match="there twice") as error:
        decode_upload(literal(part, twice))
    assert error.value.field == name


@pytest.mark.parametrize(
    "body",
    [
        upload("device", "a:b:c") | {"session": "x:y"},
        upload() | {"heart_rate": None, "context": None},
        upload("context", {"activity": "walking", "intensity": "low"}) | {"utc_offset_min": None},
        upload("context", {}),
    ],
)
def test_what_looks_like_twice_and_is_not(body):
    assert decode_upload(json.dumps(body).encode())
    assert decode_upload(json.dumps(body).replace("session", "s\\u0065ssion").encode())


@pytest.mark.parametrize("field", ["device", "session"])
@pytest.mark.parametrize("name", ["my watch", "", "x" * 65, "café", "a/b", "a\n"])
def test_a_name_that_is_refused_is_answered_in_words(field, name):
    with pytest.raises(InvalidUpload) as error:
        decode_upload(json.dumps(upload(field, name)).encode())
    assert error.value.field == field
    assert "letters" in error.value.detail
    assert "64" in error.value.detail
    assert "regex" not in error.value.detail
    assert "\\" not in error.value.detail
