"""Decoding of a request's bytes to an Upload; every error names the invalid field."""

import json
import math
import re
import zlib
from collections.abc import Iterable
from typing import Any

import msgspec

from shared.contracts.errors import InvalidUpload, UploadFault
from shared.contracts.upload import NAME_IN_WORDS, Upload

MAX_ECHO_CHARS = 200
"""Limit of client text in a response, because a watch cannot take a large one."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_decoder = msgspec.json.Decoder(Upload)
_FLOAT_FOR_INT = re.compile(r"Expected `int(?: \| null)?`, got `float`")
_AT = re.compile(r"(?P<what>.*) - at `\$\.?(?P<path>[^`]*)`", re.DOTALL)
_MEMBER = re.compile(r"Object (?P<how>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)


def gunzip(body: bytes, max_bytes: int) -> bytes:
    """Unpack one gzip stream.

    Raises:
        InvalidUpload: 413 over ``max_bytes`` (it is not unpacked further), 400 if it is no complete stream.
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
    """Make the error of a body over the limit."""
    return InvalidUpload("", f"the upload is larger than {max_bytes} bytes", status=413)


def decode_upload(body: bytes) -> Upload:
    """Parse and check types; ``shared.contracts.upload.to_records`` checks the rest.

    Raises:
        InvalidUpload: 400 if it is not JSON or repeats a member, 422 if a field is invalid, including NaN and
            Infinity.
    """
    # RFC 8259, section 8.1: a parser may ignore a byte order mark, which some HTTP libraries write.
    body = body.removeprefix(_BYTE_ORDER_MARK)
    if not body or body.isspace():
        raise InvalidUpload("", "the body is empty", status=400)
    try:
        upload = _decoder.decode(body)
    except msgspec.ValidationError as error:
        if _FLOAT_FOR_INT.match(str(error)):
            return _decode_whole_floats(body)
        _refuse_repeated(body)
        raise _named(str(error)) from error
    # A string that is not UTF-8 raises UnicodeDecodeError.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_a_number(body) or InvalidUpload("", str(error)[:MAX_ECHO_CHARS], status=400) from error
    if body.count(b":") != _count_colons(upload) or b"\\" in body:
        _refuse_repeated(body)
    return upload


def _count_colons(upload: Upload) -> int:
    """Count the colons of the body; it has others with a repeated member, a null or an escape."""
    n = 4 + upload.device.count(":") + upload.session.count(":") + (upload.utc_offset_min is not None)
    if upload.accelerometer is not None:
        n += 7
    n += 4 * ((upload.heart_rate is not None) + (upload.steps is not None))
    context = upload.context
    if context is not None:
        n += 1 + (context.activity is not None) + (context.intensity is not None)
    return n


def _decode_whole_floats(body: bytes) -> Upload:
    """Decode 1.0 as 1, for JSON writers with a single type of number."""
    try:
        value = json.loads(body, parse_float=_whole_if_it_is, object_pairs_hook=_unique)
        return msgspec.convert(value, Upload)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _not_a_number(body) or InvalidUpload("", str(error)[:MAX_ECHO_CHARS], status=400) from error


def _whole_if_it_is(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**63 else value


def _refuse_repeated(body: bytes) -> None:
    """Refuse a repeated member, because RFC 8259 leaves open which one counts."""
    try:
        json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        # The first parser reports other faults.
        return


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise InvalidUpload(name[:MAX_ECHO_CHARS], "this member is there twice", status=400)
            seen.add(name)
    return members


def _named(message: str) -> InvalidUpload:
    """Convert msgspec's ``what - at `$.path` ``; the name of an unknown or missing member is in ``what``."""
    at = _AT.fullmatch(message)
    what, path = (at["what"], at["path"]) if at else (message, "")
    member = _MEMBER.fullmatch(what)
    fault: UploadFault = "value"
    if member:
        path = f"{path}.{member['name']}" if path else member["name"]
        missing = member["how"] == "missing required"
        what, fault = ("is missing", "missing") if missing else ("unknown field", "unknown_field")
    elif "matching regex" in what:
        what = f"must be {NAME_IN_WORDS}"
    return InvalidUpload(path[:MAX_ECHO_CHARS], what[:MAX_ECHO_CHARS], fault=fault)


def _not_a_number(body: bytes) -> InvalidUpload | None:
    """Find the first NaN or Infinity with a tolerant parser, because msgspec rejects them without a path."""
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
