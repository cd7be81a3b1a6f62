"""Answers to what went wrong: problem+json (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
"""The period of the uploads of the usual watch app."""


class Problem(msgspec.Struct, omit_defaults=True):
    """``type`` is about:blank, so that ``title`` is the status in words (RFC 9457, section 4.2.1)."""

    type: str
    title: str
    status: int
    detail: str
    field: str = ""


def problem(status: int, detail: str, *, field: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """A response; ``field`` is the JSON path of what is wrong (``accelerometer.x[3]``), ``body`` for all of it."""
    content = Problem("about:blank", HTTPStatus(status).phrase, status, detail, field)
    return Response(msgspec.json.encode(content), status, headers, MEDIA_TYPE)
