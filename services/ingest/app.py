"""The HTTP side: POST /v1/uploads, its OpenAPI document, metrics and health."""

import time
from collections import Counter

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from services.ingest.auth import TokenVerifier
from services.ingest.decode import decode_upload, gunzip, too_large
from services.ingest.errors import TooManyRequests, Unauthorised
from services.ingest.openapi import document
from services.ingest.problem import RETRY_AFTER_S, problem
from services.ingest.publisher import Publisher
from services.ingest.trace import HEADER, traceparent
from shared import metrics
from shared.clock import Clock, system_clock
from shared.errors import InvalidUpload, RetryLater
from shared.health import Health, health_routes
from shared.upload import to_records


class Gateway:
    """One upload at a time through authentication, decoding and publishing; every outcome is an answer."""

    def __init__(
        self,
        publisher: Publisher,
        verifier: TokenVerifier,
        max_body_bytes: int,
        max_waiting_per_user: int,
        clock: Clock,
    ) -> None:
        self._publisher = publisher
        self._verifier = verifier
        self._max_body_bytes = max_body_bytes
        self._max_waiting_per_user = max_waiting_per_user
        self._clock = clock
        self._waiting: Counter[str] = Counter()

    async def upload(self, request: Request) -> Response:
        """202 after the acknowledgement, or a problem; counted and timed."""
        began_s = time.perf_counter()
        status = 500
        try:
            response = await self._answer(request)
            status = response.status_code
            return response
        finally:
            metrics.UPLOADS.labels(str(status)).inc()
            metrics.UPLOAD_SECONDS.observe(time.perf_counter() - began_s)

    async def _answer(self, request: Request) -> Response:
        try:
            accepted = await self._accept(request)
        except Unauthorised as error:
            return problem(401, str(error), headers={"WWW-Authenticate": error.challenge})
        except InvalidUpload as error:
            # RFC 9110, section 15.5.16: a refused coding is answered with those that would do.
            headers = {"Accept-Encoding": "gzip"} if error.status == 415 else None
            field = error.field or "body" if error.status in (400, 422) else ""
            return problem(error.status, error.detail, field=field, headers=headers)
        except RetryLater as error:
            status = 429 if isinstance(error, TooManyRequests) else 503
            return problem(status, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})
        return Response(b'{"accepted":%d}' % accepted, 202, media_type="application/json")

    async def _accept(self, request: Request) -> int:
        """Samples accepted; the cheap refusals come first."""
        user = self._verifier.user(request.headers.get("authorization"))
        body = await _content(request, self._max_body_bytes)
        received_at_ms = self._clock()
        if self._waiting[user] >= self._max_waiting_per_user:
            raise TooManyRequests(f"{self._waiting[user]} uploads of this user are under way")
        records = to_records(decode_upload(body), received_at_ms)
        self._waiting[user] += 1
        try:
            await self._publisher.publish(user, records, traceparent(request.headers.get(HEADER)))
        finally:
            self._waiting[user] -= 1
            if not self._waiting[user]:
                del self._waiting[user]
        metrics.CLOCK_SKEW_SECONDS.observe((received_at_ms - records[0].sent_at_ms) / 1000)
        for record in records:
            metrics.SAMPLES_ACCEPTED.labels(record.modality.name).inc(record.n)
        return sum(record.n for record in records)


async def _content(request: Request, max_bytes: int) -> bytes:
    """The JSON bytes of the body: never more than ``max_bytes`` in memory, packed or not."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise InvalidUpload("", f"content type {media_type!r} is not application/json", status=415)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("gzip", "identity"):
        raise InvalidUpload("", f"content encoding {coding!r} is neither gzip nor identity", status=415)
    body = await _body(request, max_bytes)
    return gunzip(body, max_bytes) if coding == "gzip" else body


async def _body(request: Request, max_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and float(declared) > max_bytes:
        raise too_large(max_bytes)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise too_large(max_bytes)
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise InvalidUpload("", "the connection ended before the body did", status=400) from error
    return b"".join(chunks)


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, headers=error.headers)


async def _bug(_: Request, __: Exception) -> Response:
    """The traceback goes to the log, not to the client."""
    return problem(500, "the gateway failed; nothing is known about this upload, send it again")


def create_app(
    publisher: Publisher,
    verifier: TokenVerifier,
    health: Health,
    *,
    max_body_bytes: int = 1024**2,
    max_waiting_per_user: int = 64,
    clock: Clock = system_clock,
) -> Starlette:
    """The gateway's ASGI application."""
    gateway = Gateway(publisher, verifier, max_body_bytes, max_waiting_per_user, clock)
    openapi = document(max_body_bytes)

    async def openapi_page(_: Request) -> Response:
        return Response(openapi, media_type="application/json")

    app = Starlette(
        routes=[
            Route("/v1/uploads", gateway.upload, methods=["POST"]),
            Route("/openapi.json", openapi_page),
            *health_routes(health),
        ],
        exception_handlers={HTTPException: _http_problem, Exception: _bug},
    )
    # A watch does not follow a redirect: /v1/uploads/ is an unknown path.
    app.router.redirect_slashes = False
    return app
