"""Uploads: whatever comes is a 202 or a 4xx that publishes nothing."""

import asyncio
import contextlib
import gzip
import json
import tracemalloc
import zlib

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.ingest.app import create_app
from services.ingest.auth import TokenVerifier
from services.ingest.validation import decode_upload, gunzip
from shared.contracts.errors import InvalidUpload
from shared.contracts.modality import MODALITIES
from shared.contracts.samples import decode_samples
from shared.contracts.token import make_token
from shared.contracts.upload import to_records
from shared.runtime.health import Health
from tests.fuzz.mutations import JSON_ODD, NESTED_JSON, hostile, mutated
from tests.services.ingest.memory_producer import MemoryProducer
from tests.services.ingest.uploads import KEY, NOW_MS, literal, upload

BODY = json.dumps(upload()).encode()
MAX_BODY_BYTES = 200_000
BOMB = gzip.compress(bytes(50_000_000), 9, mtime=0)


def as_json(tree: object) -> bytes:
    """As Python writes it: NaN and Infinity bare, half a surrogate pair as an escape."""
    return json.dumps(tree).encode()


@st.composite
def twice(draw: st.DrawFn) -> bytes:
    """An object in which a key stands twice."""
    at = draw(st.sampled_from([i for i, byte in enumerate(BODY) if byte == ord("{")])) + 1
    return (
        BODY[:at]
        + draw(st.sampled_from([b'"t0_ms": 1, ', b'"seq": 7, ', b'"x": [], ', b'"steps": null, ']))
        + BODY[at:]
    )


BODIES = (
    hostile(BODY, upload(), as_json, JSON_ODD)
    | twice()
    | st.sampled_from([b"NaN", b"Infinity"]).flatmap(
        lambda number: st.sampled_from(["seq", "accelerometer.x.0", "heart_rate.rate_hz", "steps"]).map(
            lambda path: literal(path, number.decode())
        )
    )
)
PACKED = st.one_of(
    mutated(gzip.compress(BODY, mtime=0)),
    BODIES.map(gzip.compress),
    st.binary(max_size=200),
    st.builds(lambda: gzip.compress(BODY, mtime=0) * 2),
    st.builds(lambda: zlib.compress(BODY)),
    st.builds(lambda: BOMB),
    mutated(BOMB[:200]),
)


@settings(max_examples=300, deadline=None)
@given(BODIES)
@example(NESTED_JSON)
@example(b'{"device":' + NESTED_JSON)
@example(b"[" * 100_000 + b"NaN")
@example(BODY.replace(b"vivoactive3-7f3a", b"\xff\xfe"))
@example(BODY.replace(b"1042", b"9" * 5_000))
def test_what_is_decoded_can_be_written_and_read_again(body):
    try:
        records = to_records(decode_upload(body), NOW_MS)
    except InvalidUpload:
        return
    assert records
    for record in records:
        assert decode_samples(record.modality, record.encode()).n == record.n


@settings(max_examples=200, deadline=None)
@given(PACKED)
@example(BOMB)
def test_gzip_is_unpacked_whole_or_refused(packed):
    with contextlib.suppress(InvalidUpload):
        assert len(gunzip(packed, MAX_BODY_BYTES)) <= MAX_BODY_BYTES


def test_a_bomb_stays_small():
    tracemalloc.start()
    try:
        with pytest.raises(InvalidUpload, match="larger"):
            gunzip(BOMB, MAX_BODY_BYTES)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_BODY_BYTES
    finally:
        tracemalloc.stop()


PUBLISHER = MemoryProducer()
APP = create_app(PUBLISHER, TokenVerifier(KEY), Health(), max_body_bytes=MAX_BODY_BYTES, clock=lambda: NOW_MS)
TOKEN = "Bearer " + make_token(KEY, "u1")


async def post(body: bytes, headers: dict[str, str]) -> httpx.Response:
    transport = httpx.ASGITransport(APP)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
        return await client.post("/v1/uploads", content=body, headers={"Authorization": TOKEN} | headers)


@settings(max_examples=250, deadline=None)
@given(
    BODIES.map(lambda body: (body, {})) | PACKED.map(lambda body: (body, {"Content-Encoding": "gzip"})),
    st.just({})
    | st.dictionaries(
        st.sampled_from(["traceparent", "content-type", "content-encoding", "content-length", "authorization"]),
        st.text(st.characters(codec="latin-1", exclude_characters="\r\n\x00"), max_size=30),
        max_size=2,
    ),
)
@example((BOMB, {"Content-Encoding": "gzip"}), {})
@example((NESTED_JSON, {}), {})
@example((BODY, {}), {"content-length": "9" * 400})
def test_every_request_has_an_answer_and_a_refused_one_publishes_nothing(request_, extra):
    body, headers = request_
    PUBLISHER.published.clear()
    response = asyncio.run(post(body, headers | {name: value.encode("latin-1") for name, value in extra.items()}))
    assert response.status_code in (202, 400, 401, 413, 415, 422)
    if response.status_code == 202:
        assert {record.modality for _, record, _ in PUBLISHER.published} <= set(MODALITIES)
        assert response.json()["accepted"] == sum(record.n for _, record, _ in PUBLISHER.published)
    else:
        assert PUBLISHER.published == []
        assert len(response.content) < 2_000
