"""The OpenAPI 3.1 document of the gateway, generated from the types that decode an upload."""

from typing import Any

import msgspec

from services.ingest.problem_details import MEDIA_TYPE, Problem
from shared.contracts.token import ALGORITHM
from shared.contracts.upload import Upload

EXAMPLE = {
    "device": "vivoactive3-7f3a",
    "session": "b1c0",
    "seq": 1042,
    "sent_at_ms": 1668000005123,
    "utc_offset_min": 60,
    "accelerometer": {
        "t0_ms": 1668000000000,
        "rate_hz": 25,
        "unit": "mg",
        "x": [12, 14, 9, 11, 12],
        "y": [-31, -33, -30, -35, -32],
        "z": [981, 979, 984, 980, 982],
    },
    "heart_rate": {"t0_ms": 1668000000000, "rate_hz": 1, "bpm": [72, None, 73]},
    "steps": {"t0_ms": 1668000000000, "rate_hz": 1, "total": [4011, 4011, 4012]},
    "context": {"activity": "resting"},
}

_TRACE = {"traceresponse": {"description": "the trace that goes with the samples", "schema": {"type": "string"}}}
_RETRY_AFTER = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}}
_REFUSALS: dict[int, tuple[str, dict[str, Any]]] = {
    400: ("The body is no JSON, or no whole gzip stream", {}),
    401: (
        "No bearer token, or one that does not hold",
        {"WWW-Authenticate": {"description": "RFC 6750 challenge", "schema": {"type": "string"}}},
    ),
    408: ("The headers or the body did not come in time; the connection is closed", {}),
    413: ("The body is too large, packed or unpacked", {}),
    415: ("Not JSON, or packed other than with gzip", {}),
    422: ("A field is wrong; `field` is its JSON path, such as `accelerometer.x[3]`; nothing was published", {}),
    429: ("Too many uploads of this user are under way", _RETRY_AFTER),
    431: ("The request line and the headers are too large or too many; the connection is closed", {}),
    503: ("Kafka has not acknowledged in time; sending the same upload again is harmless", _RETRY_AFTER),
}


class Accepted(msgspec.Struct):
    """The broker has acknowledged this many samples, over all modalities."""

    accepted: int


def document(max_body_bytes: int) -> bytes:
    """Return the document as JSON."""
    (upload, accepted, problem), components = msgspec.json.schema_components(
        [Upload, Accepted, Problem], ref_template="#/components/schemas/{name}"
    )
    responses: dict[str, Any] = {
        "202": {
            "description": "Acknowledged by all in-sync replicas",
            "headers": _TRACE,
            "content": {"application/json": {"schema": accepted}},
        },
    }
    for status, (description, headers) in _REFUSALS.items():
        responses[str(status)] = {
            "description": description,
            "headers": _TRACE | headers,
            "content": {MEDIA_TYPE: {"schema": problem}},
        }
    operation = {
        "operationId": "upload",
        "summary": "Samples of one watch, of one or more modalities",
        "description": "The user is the token's `sub`. The same device, session and seq again is harmless.",
        "security": [{"bearer": []}],
        "parameters": [
            {
                "name": "traceparent",
                "in": "header",
                "required": False,
                "description": "W3C trace context; it goes with the samples to the event",
                "schema": {"type": "string"},
            },
            {
                "name": "Content-Encoding",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "enum": ["gzip", "x-gzip", "identity"]},
            },
        ],
        "requestBody": {
            "required": True,
            "description": f"At most {max_body_bytes} bytes, packed and unpacked",
            "content": {"application/json": {"schema": upload, "example": EXAMPLE}},
        },
        "responses": responses,
    }
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Gaitway ingest",
                "version": "1",
                "description": "Takes the raw stream of smartwatches in.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": {"/v1/uploads": {"post": operation}},
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": f"JWT ({ALGORITHM})"}
                },
            },
        }
    )
