"""Windows as bits: one bitmap per hour, with one bit per slot of the hop; a slot has one start per grid phase."""

from shared.contracts.time_limits import HOUR_MS


def window_place(window_start_ms: int, hop_ms: int) -> tuple[int, int]:
    """Return the hour (since the epoch) in which a window starts, and its bit in that hour's bitmap."""
    hour, within_ms = divmod(window_start_ms, HOUR_MS)
    return hour, 1 << (within_ms // hop_ms)


def bitmap_to_bytes(bits: int) -> bytes:
    """Encode as little-endian bytes, as long as needed."""
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def bitmap_from_bytes(data: bytes) -> int:
    """Invert ``bitmap_to_bytes``."""
    return int.from_bytes(data, "little")
