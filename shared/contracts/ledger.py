"""activity.ledger: the published windows, as one bitmap per (user, device, model, hop, hour)."""

import msgspec

from shared.contracts.decoding import DECODE_ERRORS
from shared.contracts.errors import InvalidRecord
from shared.contracts.window_bitmap import bitmap_from_bytes, bitmap_to_bytes, window_place

LedgerKey = tuple[str, str, str, int, int]
"""(user, device, model, hop_ms, hour)."""


def place_of(user: str, device: str, model: str, hop_ms: int, window_start_ms: int) -> tuple[LedgerKey, int]:
    """Return the key of the ledger record that a window belongs to, and its bit in the bitmap."""
    hour, bit = window_place(window_start_ms, hop_ms)
    return (user, device, model, hop_ms, hour), bit


def encode_ledger(key: LedgerKey, bits: int) -> tuple[bytes, bytes]:
    """Return record key (a JSON array) and value."""
    return msgspec.json.encode(key), bitmap_to_bytes(bits)


def decode_ledger(key: bytes | None, value: bytes | None) -> tuple[LedgerKey, int]:
    """Invert ``encode_ledger``; raises InvalidRecord."""
    try:
        return msgspec.json.decode(key or b"", type=LedgerKey), bitmap_from_bytes(value or b"")
    except DECODE_ERRORS as error:
        raise InvalidRecord(f"ledger key: {error}") from error
