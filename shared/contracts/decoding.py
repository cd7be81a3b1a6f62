"""Errors and limits of decoding external bytes, the same for every record type."""

from collections.abc import Iterable
from typing import Annotated

import msgspec

from shared.contracts.errors import InvalidRecord

DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All errors that msgspec raises for invalid bytes; two of them are not its own classes."""

MAX_NAME = 256
"""Ingest accepts 64 characters; far longer names would make records that no topic accepts."""

Device = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]

TRACEPARENT = "traceparent"
_MAX_TRACEPARENT = 128


def traceparent_of(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """Return the trace context of a Kafka record; None if it is missing, null or malformed."""
    for name, value in headers:
        if name == TRACEPARENT and value and len(value) <= _MAX_TRACEPARENT and value.isascii():
            return value.decode()
    return None


def user_of(key: bytes | None) -> str:
    """Return the user that a record belongs to; raises InvalidRecord."""
    if not key:
        raise InvalidRecord("the record has no user as its key", fault="key")
    if len(key) > MAX_NAME:
        raise InvalidRecord(f"the key has {len(key)} bytes, {MAX_NAME} are allowed", fault="key")
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise InvalidRecord("the key is not UTF-8", fault="key") from error
