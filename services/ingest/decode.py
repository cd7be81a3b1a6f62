"""From the bytes of a request to an Upload; every error names the field that is wrong."""

import json
import math
import re
import zlib
from collections.abc import Iterable
from typing import Any

import msgspec

from shared.errors import InvalidUpload, UploadFault
from shared.upload import Upload

MAX_ECHO_CHARS = 200
"""Of what a client sent, in the answer to it: a watch cannot take a large one."""

_decoder = msgspec.json.Decoder(Upload)
_AT = re.compile(r"(?P<what>.*) - at `\$\.?(?P<path>[^`]*)`", re.DOTALL)
_MEMBER = re.compile(r"Object (?P<how>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)


def gunzip(body: bytes, max_bytes: int) -> bytes:
    """The content of one gzip stream.

    Raises:
        InvalidUpload: 413 over ``max_bytes`` (it is not unpacked further), 400 when it is no whole stream.
    """
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = stream.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidUpload("", f"not gzip: {error}", status=400) from error
    if len(content) > max_bytes:
        raise too_large(max_bytes)
    if not stream.eof:
        raise InvalidUpload("", "the gzip stream is truncated", status=400)
    if stream.unused_data:
        raise InvalidUpload("", f"{len(stream.unused_data)} bytes follow the gzip stream", status=400)
    return content


def too_large(max_bytes: int) -> InvalidUpload:
    """The refusal of a body over the limit."""
    return InvalidUpload("", f"the upload is larger than {max_bytes} bytes", status=413)


def decode_upload(body: bytes) -> Upload:
    """Parse and check what the types can say; ``shared.upload.to_records`` checks the rest.

    Raises:
        InvalidUpload: 400 when it is no JSON, 422 when a field is wrong, NaN and Infinity among them.
    """
    if not body or body.isspace():
        raise InvalidUpload("", "the body is empty", status=400)
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from error
    # A string that is not UTF-8 comes as UnicodeDecodeError.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_a_number(body) or InvalidUpload("", str(error)[:MAX_ECHO_CHARS], status=400) from error


def _named(message: str) -> InvalidUpload:
    """msgspec says ``what - at `$.path` ``; an unknown or missing member stands in ``what`` only."""
    at = _AT.fullmatch(message)
    what, path = (at["what"], at["path"]) if at else (message, "")
    member = _MEMBER.fullmatch(what)
    fault: UploadFault = "value"
    if member:
        path = f"{path}.{member['name']}" if path else member["name"]
        missing = member["how"] == "missing required"
        what, fault = ("is missing", "missing") if missing else ("unknown field", "unknown_field")
    return InvalidUpload(path[:MAX_ECHO_CHARS], what[:MAX_ECHO_CHARS], fault=fault)


def _not_a_number(body: bytes) -> InvalidUpload | None:
    """NaN and Infinity are no JSON and stop the parser without a path: find the first with a parser that takes them."""
    if b"NaN" not in body and b"Infinity" not in body:
        return None
    try:
        found = _first_non_finite(json.loads(body))
    except (ValueError, RecursionError):
        return None
    if found is None:
        return None
    value, path = found
    return InvalidUpload("".join(path).removeprefix(".")[:MAX_ECHO_CHARS], f"{value} is not a number")


def _first_non_finite(value: Any) -> tuple[float, list[str]] | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else (value, [])
    if isinstance(value, dict):
        members: Iterable[tuple[Any, Any]] = value.items()
        step = ".{}"
    elif isinstance(value, list):
        members = enumerate(value)
        step = "[{}]"
    else:
        return None
    for at, member in members:
        found = _first_non_finite(member)
        if found is not None:
            return found[0], [step.format(at), *found[1]]
    return None
