"""From the bytes of a request to an Upload; every error names the field that is wrong."""

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
"""Of what a client sent, in the answer to it: a watch cannot take a large one."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_decoder = msgspec.json.Decoder(Upload)
_FLOAT_FOR_INT = re.compile(r"Expected `int(?: \| null)?`, got `float`")
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
    """Parse and check what the types can say; ``shared.contracts.upload.to_records`` checks the rest.

    Raises:
        InvalidUpload: 400 when it is no JSON or a member is there twice, 422 when a field is wrong, NaN and Infinity
            among them.
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
    # A string that is not UTF-8 comes as UnicodeDecodeError.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_a_number(body) or InvalidUpload("", str(error)[:MAX_ECHO_CHARS], status=400) from error
    if body.count(b":") != _count_colons(upload) or b"\\" in body:
        _refuse_repeated(body)
    return upload


def _count_colons(upload: Upload) -> int:
    """As many as the body has, unless a member is there twice, is null, or an escape hides something."""
    n = 4 + upload.device.count(":") + upload.session.count(":") + (upload.utc_offset_min is not None)
    if upload.accelerometer is not None:
        n += 7
    n += 4 * ((upload.heart_rate is not None) + (upload.steps is not None))
    context = upload.context
    if context is not None:
        n += 1 + (context.activity is not None) + (context.intensity is not None)
    return n


def _decode_whole_floats(body: bytes) -> Upload:
    """For JSON writers that have one type of number: 1.0 is 1."""
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
    """RFC 8259 leaves open which of two members with one name counts: neither is taken."""
    try:
        json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        # What else is wrong with it is told by the first parser.
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
    """msgspec says ``what - at `$.path` ``; an unknown or missing member stands in ``what`` only."""
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
