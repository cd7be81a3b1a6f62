"""Error responses as problem+json (RFC 9457)."""

import re
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from services.ingest.errors import TooManyRequests, Unauthorised
from shared.contracts.errors import InvalidMessage, InvalidUpload, Refused, RetryLater
from shared.contracts.modality import MODALITY_NAMES
from shared.runtime.metrics import NO_MODALITY

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
"""Upload period of a typical watch app."""


class Problem(msgspec.Struct, omit_defaults=True):
    """``type`` is about:blank, so that ``title`` is the status in words (RFC 9457, section 4.2.1)."""

    type: str
    title: str
    status: int
    detail: str
    field: str = ""


def problem(status: int, detail: str, *, field: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """Make a response; ``field`` is the JSON path of the fault (``accelerometer.x[3]``), or ``body`` for all of it."""
    content = Problem("about:blank", HTTPStatus(status).phrase, status, detail, field)
    return Response(msgspec.json.encode(content), status, headers, MEDIA_TYPE)


def error_response(error: InvalidMessage | RetryLater) -> Response:
    """Make the response to a refused upload."""
    if isinstance(error, Unauthorised):
        return problem(401, str(error), headers={"WWW-Authenticate": error.challenge})
    if isinstance(error, InvalidUpload):
        # RFC 9110, section 15.5.16: the response to an unsupported coding lists the supported ones.
        headers = {"Accept-Encoding": "gzip"} if error.status == 415 else None
        field = error.field or "body" if error.status in (400, 422) else ""
        return problem(error.status, error.detail, field=field, headers=headers)
    # 500: a permanent refusal of Kafka needs an operator. The watch keeps its data and sends it again in any case.
    status = 429 if isinstance(error, TooManyRequests) else 500 if isinstance(error, Refused) else 503
    return problem(status, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})


def rejection_labels(error: InvalidMessage | RetryLater) -> tuple[str, str]:
    """Return the metric labels of a refusal: the faulty modality, or "none", and the reason."""
    if isinstance(error, InvalidUpload):
        member = re.split(r"[.\[]", error.field, maxsplit=1)[0]
        return member if member in MODALITY_NAMES else NO_MODALITY, error.fault
    if isinstance(error, Unauthorised):
        return NO_MODALITY, "unauthorised"
    return NO_MODALITY, "too_many_requests" if isinstance(error, TooManyRequests) else "unavailable"


def internal_error_response() -> Response:
    """Make the response to a bug; the traceback goes to the log, not to the client."""
    return problem(500, "the gateway failed; nothing is known about this upload, send it again")
