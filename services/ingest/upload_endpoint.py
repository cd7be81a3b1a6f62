"""POST /v1/uploads as a plain ASGI application: the route that every watch uses every few seconds.

Starlette's request, router and middleware cost more than all processing of an upload here.
"""

import logging
import time

from starlette.types import Receive, Scope, Send

from services.ingest.auth import TokenVerifier
from services.ingest.errors import TooManyRequests
from services.ingest.problem_details import error_response, internal_error_response, rejection_labels
from services.ingest.producer import SampleProducer
from services.ingest.request_body import Headers, read_body, text
from services.ingest.validation import decode_upload
from shared.contracts.errors import InvalidMessage, RetryLater
from shared.contracts.modality import MODALITY_NAMES
from shared.contracts.trace_context import ANSWER_HEADER, TRACEPARENT, traceparent
from shared.contracts.upload import to_records
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logging import RateLimitedLogger, trace_extra
from shared.runtime.whole_messages import WholeMessages, whole_messages

# Kept, because the lookup by labels costs more than the count.
_ACCEPTED = metrics.UPLOADS.labels("202")
_SAMPLES = {name: metrics.SAMPLES_ACCEPTED.labels(name) for name in MODALITY_NAMES}
_DEVICE_TO_GATEWAY = metrics.EVENT_LATENCY_SECONDS.labels("device_to_gateway")

_TRACEPARENT, _ANSWER_HEADER = TRACEPARENT.encode(), ANSWER_HEADER.encode()

log = logging.getLogger("gaitway.ingest.uploads")
_refusals = RateLimitedLogger(log)


class UploadEndpoint:
    """Endpoint that authenticates, decodes and publishes uploads; every outcome is an HTTP response."""

    def __init__(
        self,
        producer: SampleProducer,
        verifier: TokenVerifier,
        max_body_bytes: int,
        max_in_flight_per_user: int,
        clock: Clock,
    ) -> None:
        self._producer = producer
        self._verifier = verifier
        self._max_body_bytes = max_body_bytes
        self._max_waiting_per_user = max_in_flight_per_user
        self._clock = clock
        self._waiting: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with 202 after the acknowledgement, or with a problem; count and time the request."""
        began_s = time.perf_counter()
        # Reversed, so that the first one of a repeated header counts.
        headers = dict(reversed(scope["headers"]))
        trace = traceparent(text(headers, _TRACEPARENT))
        whole = whole_messages(scope)
        try:
            accepted = await self._accept(headers, receive, trace, whole)
        except (InvalidMessage, RetryLater) as error:
            response = error_response(error)
            response.headers[ANSWER_HEADER] = trace.decode()
            metrics.UPLOADS.labels(str(response.status_code)).inc()
            metrics.UPLOADS_REJECTED.labels(*rejection_labels(error)).inc()
            metrics.UPLOAD_SECONDS.observe(time.perf_counter() - began_s)
            _log_refusal(error, response.status_code, trace)
            await response(scope, receive, send)
        except BaseException as error:
            metrics.UPLOADS.labels("500").inc()
            metrics.UPLOAD_SECONDS.observe(time.perf_counter() - began_s)
            if isinstance(error, Exception):
                log.error("an upload failed because of a bug, the traceback follows", extra=trace_extra(trace))
                response = internal_error_response()
                response.headers[ANSWER_HEADER] = trace.decode()
                await response(scope, receive, send)
            # The server logs the traceback.
            raise
        else:
            _ACCEPTED.inc()
            metrics.UPLOAD_SECONDS.observe(time.perf_counter() - began_s)
            if log.isEnabledFor(logging.DEBUG):
                log.debug("%d samples accepted", accepted, extra=trace_extra(trace))
            await _answer(accepted, trace, send, whole)

    async def _accept(self, headers: Headers, receive: Receive, trace: bytes, whole: WholeMessages | None) -> int:
        """Publish an upload and return the number of samples; cheap checks come first."""
        user = self._verifier.user(text(headers, b"authorization"))
        body = await read_body(headers, receive, self._max_body_bytes, whole)
        received_at_ms = self._clock()
        waiting = self._waiting.get(user, 0)
        if waiting >= self._max_waiting_per_user:
            raise TooManyRequests(f"{waiting} uploads of this user are under way")
        records = to_records(decode_upload(body), received_at_ms)
        self._waiting[user] = waiting + 1
        try:
            await self._producer.publish(user, records, trace)
        finally:
            self._waiting[user] -= 1
            if not self._waiting[user]:
                del self._waiting[user]
        since_sent_s = (received_at_ms - records[0].sent_at_ms) / 1000
        metrics.CLOCK_SKEW_SECONDS.observe(since_sent_s)
        # With a device clock that is ahead, the network time is unknown.
        if since_sent_s >= 0:
            _DEVICE_TO_GATEWAY.observe(since_sent_s)
        accepted = 0
        for record in records:
            n = record.n
            _SAMPLES[record.modality.name].inc(n)
            accepted += n
        return accepted


def _log_refusal(error: InvalidMessage | RetryLater, status: int, trace: bytes) -> None:
    level = logging.WARNING if isinstance(error, RetryLater) else logging.INFO
    # Quoted, because a client's text may contain line feeds.
    _refusals.log(level, "%d, %s: %r", status, rejection_labels(error)[1], str(error), extra=trace_extra(trace))


async def _answer(accepted: int, trace: bytes, send: Send, whole: WholeMessages | None) -> None:
    body = b'{"accepted":%d}' % accepted
    headers = [(b"content-type", b"application/json"), (_ANSWER_HEADER, trace)]
    if whole is not None and whole.answer(202, headers, body):
        return
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": body})
