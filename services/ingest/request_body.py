"""Reading of a request body from ASGI: memory stays limited, compressed or not."""

from collections.abc import Mapping

from starlette.types import Receive

from services.ingest.validation import gunzip, too_large
from shared.contracts.errors import InvalidUpload
from shared.runtime.whole_messages import WholeMessages

JSON = "application/json"

Headers = Mapping[bytes, bytes]
"""Request headers by name in lower case."""


def text(headers: Headers, name: bytes) -> str:
    """Return a header's value, or an empty string."""
    return headers.get(name, b"").decode("latin-1")


async def read_body(headers: Headers, receive: Receive, max_bytes: int, whole: WholeMessages | None = None) -> bytes:
    """Read the body, from ``whole`` if it has arrived, and unpack it.

    Raises:
        InvalidUpload: 415 if it is not JSON or is compressed other than with gzip, 413 over ``max_bytes``, 400 if it
            is incomplete.
    """
    media_type = text(headers, b"content-type")
    if media_type != JSON:
        _check_media_type(media_type or JSON)
    coding = text(headers, b"content-encoding").strip().lower() or "identity"
    # RFC 9110, section 8.4.1.3: x-gzip is gzip.
    if coding not in ("gzip", "x-gzip", "identity"):
        raise InvalidUpload("", f"content encoding {coding!r} is neither gzip nor identity", status=415)
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and float(declared) > max_bytes:
        raise too_large(max_bytes)
    body = whole.take_body() if whole is not None else None
    if body is None:
        body = await _received(receive, max_bytes)
    elif len(body) > max_bytes:
        raise too_large(max_bytes)
    return body if coding == "identity" else gunzip(body, max_bytes)


def _check_media_type(content_type: str) -> None:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != JSON and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise InvalidUpload("", f"content type {media_type!r} is not {JSON}", status=415)


async def _received(receive: Receive, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidUpload("", "the connection ended before the body did", status=400)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise too_large(max_bytes)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)
