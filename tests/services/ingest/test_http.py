import asyncio
import gzip
import json
import logging
import re
from collections.abc import AsyncIterator, Sequence

import httpx
import msgspec
import pytest

from services.ingest import upload_endpoint as uploads_module
from services.ingest.app import create_app
from services.ingest.auth import TokenVerifier
from services.ingest.problem_details import MEDIA_TYPE
from shared.contracts.errors import Refused, RetryLater
from shared.contracts.samples import SampleRecord
from shared.contracts.token import make_token
from shared.contracts.trace_context import traceparent
from shared.runtime.health import Health
from shared.runtime.logging import RateLimitedLogger
from tests.services.ingest.memory_producer import MemoryProducer
from tests.services.ingest.uploads import KEY, NOW_MS, literal, upload

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BODY = json.dumps(upload()).encode()
MAX_BODY_BYTES = 20_000


@pytest.fixture
def producer() -> MemoryProducer:
    return MemoryProducer()


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def client(producer: MemoryProducer, health: Health) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(producer, TokenVerifier(KEY), health, max_body_bytes=MAX_BODY_BYTES, clock=lambda: NOW_MS)
    headers = {"Authorization": "Bearer " + make_token(KEY, "u1", 3_600)}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://ingest", headers=headers
    ) as client:
        yield client


def assert_problem(response: httpx.Response, status: int, field: str | None = None) -> dict[str, object]:
    assert (response.status_code, response.headers["content-type"]) == (status, MEDIA_TYPE)
    content = response.json()
    assert content["type"] == "about:blank"
    assert content["status"] == status
    assert content["title"]
    assert content["detail"]
    assert content.get("field") == field
    return content


async def test_an_upload_is_published_and_counted(client, producer):
    response = await client.post("/v1/uploads", content=BODY)
    assert (response.status_code, response.content) == (202, b'{"accepted":11}')
    assert response.headers["content-type"] == "application/json"
    assert [(user, record.modality.name) for user, record, _ in producer.published] == [
        ("u1", "accelerometer"),
        ("u1", "heart_rate"),
        ("u1", "steps"),
    ]


async def test_gzip_and_media_type_variants(client, producer):
    for headers, body in (
        ({"Content-Encoding": "gzip"}, gzip.compress(BODY, mtime=0)),
        ({"Content-Encoding": "GZIP", "Content-Type": "application/json; charset=utf-8"}, gzip.compress(BODY, mtime=0)),
        ({"Content-Encoding": "identity", "Content-Type": "Application/JSON"}, BODY),
        ({"Content-Type": "application/vnd.watch+json"}, BODY),
    ):
        response = await client.post("/v1/uploads", content=body, headers=headers)
        assert response.status_code == 202, response.text
    assert len(producer.published) == 12


async def test_the_trace_of_the_request_goes_along(client, producer):
    await client.post("/v1/uploads", content=BODY, headers={"traceparent": TRACE})
    await client.post("/v1/uploads", content=BODY)
    traces = [trace for _, _, trace in producer.published]
    assert traces[:3] == [TRACE.encode()] * 3
    assert len(set(traces[3:])) == 1
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01", traces[3])


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00",
        TRACE[:-1],
        TRACE + "-x",
        "ff" + TRACE[2:],
        TRACE.upper(),
        TRACE + "\n",
        "00-" + "0" * 32 + TRACE[35:],
        TRACE[:36] + "0" * 16 + "-01",
    ],
)
def test_a_trace_that_is_not_valid_is_replaced(header):
    made = traceparent(header)
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01", made)
    assert made != TRACE.encode()


def test_a_trace_of_a_later_version_is_understood():
    assert traceparent("cc" + TRACE[2:] + "-what-comes") == TRACE.encode()


@pytest.mark.parametrize(
    ("headers", "body", "status", "field"),
    [
        ({"Authorization": ""}, BODY, 401, None),
        ({"Authorization": "Bearer a.b.c"}, BODY, 401, None),
        ({"Authorization": "Bearer " + make_token(KEY, "u1", 60, now_s=0)}, BODY, 401, None),
        ({"Authorization": "Bearer " + make_token("x" * 32, "u1")}, BODY, 401, None),
        ({"Content-Type": "text/plain"}, BODY, 415, None),
        ({"Content-Type": "application/x-www-form-urlencoded"}, BODY, 415, None),
        ({"Content-Encoding": "br"}, BODY, 415, None),
        ({"Content-Encoding": "gzip, gzip"}, BODY, 415, None),
        ({}, b" " * (MAX_BODY_BYTES + 1), 413, None),
        ({"Content-Encoding": "gzip"}, gzip.compress(bytes(10_000_000), mtime=0), 413, None),
        ({"Content-Encoding": "gzip"}, gzip.compress(BODY, mtime=0)[:-9], 400, "body"),
        ({"Content-Encoding": "gzip"}, BODY, 400, "body"),
        ({"Content-Encoding": "gzip"}, b"", 400, "body"),
        ({}, b"", 400, "body"),
        ({}, b"{", 400, "body"),
        ({}, b"[]", 422, "body"),
        ({}, literal("accelerometer.x.3", "NaN"), 422, "accelerometer.x[3]"),
        ({}, literal("accelerometer.y.0", "-Infinity"), 422, "accelerometer.y[0]"),
        ({}, literal("accelerometer.z.4", "1e999"), 422, "accelerometer.z[4]"),
        ({}, json.dumps(upload("accelerometer.y", [1])).encode(), 422, "accelerometer.y"),
        ({}, json.dumps(upload("accelerometer.rate_hz", 3)).encode(), 422, "accelerometer.rate_hz"),
        ({}, json.dumps(upload("steps.t0_ms", NOW_MS + 400_000)).encode(), 422, "steps.t0_ms"),
        ({}, json.dumps({k: upload()[k] for k in ("device", "session", "seq", "sent_at_ms")}).encode(), 422, "body"),
    ],
)
async def test_a_refusal_is_a_problem_and_publishes_nothing(client, producer, headers, body, status, field):
    response = await client.post("/v1/uploads", content=body, headers=headers)
    assert_problem(response, status, field)
    assert ("www-authenticate" in response.headers) == (status == 401)
    assert not producer.published


async def test_the_challenge_says_bearer(client):
    response = await client.post("/v1/uploads", content=BODY, headers={"Authorization": ""})
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_body_without_declared_length_is_bounded_too(client, producer):
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1_000

    assert_problem(await client.post("/v1/uploads", content=endless()), 413)
    assert not producer.published


async def test_of_a_header_that_is_there_twice_the_first_counts(client, producer):
    token = make_token(KEY, "u2", 60)
    headers = [("Authorization", f"Bearer {token}"), ("Authorization", "Bearer a.b.c")]
    client.headers.pop("Authorization")
    assert (await client.post("/v1/uploads", content=BODY, headers=headers)).status_code == 202
    assert {user for user, _, _ in producer.published} == {"u2"}


async def test_a_connection_that_ends_before_the_body_publishes_nothing(producer, health):
    app = create_app(producer, TokenVerifier(KEY), health, clock=lambda: NOW_MS)
    messages = iter([{"type": "http.request", "body": BODY[:9], "more_body": True}, {"type": "http.disconnect"}])
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return next(messages)

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {make_token(KEY, 'u1')}".encode())]
    await app({"type": "http", "method": "POST", "path": "/v1/uploads", "headers": headers}, receive, send)
    assert sent[0]["status"] == 400
    assert not producer.published


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/uploads", 405), ("PUT", "/v1/uploads", 405), ("POST", "/v1/uploads/", 404), ("GET", "/", 404)],
)
async def test_other_paths_and_methods(client, method, path, status):
    response = await client.request(method, path)
    assert_problem(response, status)
    assert response.headers.get("allow") == ("POST" if status == 405 else None)


async def test_unreachable_kafka_is_answered_503(client, producer):
    producer.error = RetryLater("Kafka does not answer")
    response = await client.post("/v1/uploads", content=BODY)
    assert_problem(response, 503)
    assert int(response.headers["retry-after"]) > 0


async def test_one_user_cannot_have_endless_uploads_under_way(health):
    release = asyncio.Event()

    class SlowPublisher:
        async def publish(self, user: str, records: Sequence[SampleRecord], traceparent: bytes) -> None:
            await release.wait()

    app = create_app(SlowPublisher(), TokenVerifier(KEY), health, max_in_flight_per_user=2, clock=lambda: NOW_MS)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ingest") as client:

        async def send(user: str) -> httpx.Response:
            token = make_token(KEY, user)
            return await client.post("/v1/uploads", content=BODY, headers={"Authorization": f"Bearer {token}"})

        under_way = [asyncio.create_task(send(user)) for user in ("u1", "u1", "u2")]
        await asyncio.sleep(0.05)
        refused = await send("u1")
        assert_problem(refused, 429)
        assert int(refused.headers["retry-after"]) > 0
        release.set()
        assert [response.status_code for response in await asyncio.gather(*under_way)] == [202, 202, 202]
        assert (await send("u1")).status_code == 202


async def test_internal_error_shows_no_detail(health):
    class BrokenPublisher:
        async def publish(self, user: str, records: Sequence[SampleRecord], traceparent: bytes) -> None:
            raise KeyError("secret")

    app = create_app(BrokenPublisher(), TokenVerifier(KEY), health, clock=lambda: NOW_MS)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
        response = await client.post(
            "/v1/uploads", content=BODY, headers={"Authorization": f"Bearer {make_token(KEY, 'u1')}"}
        )
    assert_problem(response, 500)
    assert "secret" not in response.text


async def test_the_openapi_document(client):
    response = await client.get("/openapi.json")
    document = response.json()
    assert document["openapi"].startswith("3.1")
    operation = document["paths"]["/v1/uploads"]["post"]
    assert set(operation["responses"]) == {"202", "400", "401", "408", "413", "415", "422", "429", "431", "503"}
    schemas = document["components"]["schemas"]
    references = set(re.findall(r'"#/components/schemas/(\w+)"', response.text))
    assert references == set(schemas)
    assert schemas["Accelerometer"]["properties"]["unit"]["enum"] == ["g", "m/s2", "mg"]
    assert schemas["Upload"]["additionalProperties"] is False
    assert msgspec.json.encode(operation["requestBody"]["content"]["application/json"]["example"])


async def test_every_answer_says_its_trace(client, producer):
    accepted = await client.post("/v1/uploads", content=BODY, headers={"traceparent": TRACE})
    assert accepted.headers["traceresponse"] == TRACE
    refused = await client.post("/v1/uploads", content=b"{}", headers={"traceparent": TRACE})
    assert (refused.status_code, refused.headers["traceresponse"]) == (422, TRACE)
    producer.error = RetryLater("away")
    made = await client.post("/v1/uploads", content=BODY)
    assert made.status_code == 503
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", made.headers["traceresponse"])


async def test_internal_error_names_its_trace_to_the_client_and_in_the_log(health, caplog):
    class BrokenPublisher:
        async def publish(self, user: str, records: Sequence[SampleRecord], traceparent: bytes) -> None:
            raise KeyError("secret")

    app = create_app(BrokenPublisher(), TokenVerifier(KEY), health, clock=lambda: NOW_MS)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {make_token(KEY, 'u1')}", "traceparent": TRACE}
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest", headers=headers) as client:
        response = await client.post("/v1/uploads", content=BODY)
    assert (response.status_code, response.headers["traceresponse"]) == (500, TRACE)
    assert [record.trace_id for record in caplog.records if record.name == "gaitway.ingest.uploads"] == [TRACE[3:35]]


async def test_what_kafka_refuses_for_good_is_no_503(client, producer):
    producer.error = Refused("Kafka: TopicAuthorizationFailedError")
    answer = await client.post("/v1/uploads", content=BODY)
    assert (answer.status_code, answer.headers["retry-after"]) == (500, "5")


def rejected(page: str, modality: str, reason: str) -> float:
    name = f'gaitway_ingest_rejected_uploads_total{{modality="{modality}",reason="{reason}"}}'
    return next(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name))


@pytest.mark.parametrize(
    ("path", "value", "modality", "reason"),
    [
        ("accelerometer.x", "no list", "accelerometer", "value"),
        ("accelerometer.x", [99_000.0] * 5, "accelerometer", "value"),
        ("steps.rate_hz", 100, "steps", "rate"),
        ("heart_rate.t0_ms", NOW_MS + 3_600_000, "heart_rate", "time"),
        ("heart_rate.mood", 1, "heart_rate", "unknown_field"),
        ("sent_at_ms", NOW_MS + 3_600_000, "none", "time"),
        ("seq", -1, "none", "value"),
    ],
)
async def test_refusal_is_counted_and_logged_with_its_cause(client, caplog, monkeypatch, path, value, modality, reason):
    monkeypatch.setattr(uploads_module, "_refusals", RateLimitedLogger(logging.getLogger("gaitway.ingest.uploads")))
    before = rejected((await client.get("/metrics")).text, modality, reason)
    with caplog.at_level(logging.INFO, "gaitway.ingest.uploads"):
        response = await client.post(
            "/v1/uploads", content=json.dumps(upload(path, value)), headers={"traceparent": TRACE}
        )
    assert response.status_code == 422, response.text
    assert rejected((await client.get("/metrics")).text, modality, reason) == before + 1
    (line,) = [record for record in caplog.records if record.name == "gaitway.ingest.uploads"]
    assert (line.levelname, line.trace_id) == ("INFO", TRACE[3:35])
    assert line.getMessage().startswith(f"422, {reason}: ")


async def test_refusals_that_are_of_no_field_are_counted_too(client, producer):
    missing = {name: value for name, value in upload().items() if name != "device"}
    for content, headers, reason in (
        (b"{", {}, "malformed"),
        (b"x" * (MAX_BODY_BYTES + 1), {}, "too_large"),
        (BODY, {"Content-Type": "text/plain"}, "media_type"),
        (json.dumps(missing).encode(), {}, "missing"),
        (BODY, {"Authorization": "Bearer x"}, "unauthorised"),
    ):
        before = rejected((await client.get("/metrics")).text, "none", reason)
        await client.post("/v1/uploads", content=content, headers=headers)
        assert rejected((await client.get("/metrics")).text, "none", reason) == before + 1, reason
    producer.error = RetryLater("away")
    before = rejected((await client.get("/metrics")).text, "none", "unavailable")
    await client.post("/v1/uploads", content=BODY)
    assert rejected((await client.get("/metrics")).text, "none", "unavailable") == before + 1


async def test_what_a_client_sent_makes_no_line_of_its_own_in_the_log(client, caplog, monkeypatch):
    monkeypatch.setattr(uploads_module, "_refusals", RateLimitedLogger(logging.getLogger("gaitway.ingest.uploads")))
    with caplog.at_level(logging.INFO, "gaitway.ingest.uploads"):
        await client.post("/v1/uploads", content=json.dumps(upload() | {"x\nCRITICAL forged": 1}).encode())
    (line,) = [record for record in caplog.records if record.name == "gaitway.ingest.uploads"]
    assert "forged" in line.getMessage()
    assert "\n" not in line.getMessage()


async def test_the_way_to_the_gateway_is_measured_where_the_clocks_allow(client):
    def ways(page: str) -> float:
        name = 'gaitway_event_latency_seconds_count{stage="device_to_gateway"}'
        return next(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name))

    before = ways((await client.get("/metrics")).text)
    for sent_at_ms in (NOW_MS - 700, NOW_MS, NOW_MS + 700):
        content = json.dumps(upload("sent_at_ms", sent_at_ms)).encode()
        assert (await client.post("/v1/uploads", content=content)).status_code == 202
    assert ways((await client.get("/metrics")).text) == before + 2


async def test_metrics_and_health(client, health):
    await client.post("/v1/uploads", content=BODY)
    page = (await client.get("/metrics")).text
    assert 'gaitway_ingest_uploads_total{status="202"}' in page
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).status_code == 200
    health.set_unready("kafka", "not connected yet")
    response = await client.get("/readyz")
    assert (response.status_code, response.json()["waiting"]) == (503, {"kafka": "not connected yet"})
