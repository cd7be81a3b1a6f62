"""The place of a window in its hour's bitmap, and the bitmap's bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.time_limits import HOUR_MS
from shared.contracts.window_bitmap import bitmap_from_bytes, bitmap_to_bytes, window_place


@given(st.sampled_from([10_000, 20_000]), st.integers(0, 2**33))
def test_the_place_gives_the_window_back(hop_ms: int, slot: int) -> None:
    hour, bit = window_place(slot * hop_ms, hop_ms)
    assert bit.bit_count() == 1
    assert hour * HOUR_MS + (bit.bit_length() - 1) * hop_ms == slot * hop_ms


@pytest.mark.parametrize(("hop_ms", "last"), [(10_000, 359), (20_000, 179)])
def test_an_hour_begins_at_bit_0(hop_ms: int, last: int) -> None:
    assert window_place(7 * HOUR_MS, hop_ms) == (7, 1)
    assert window_place(7 * HOUR_MS - hop_ms, hop_ms) == (6, 1 << last)


@given(st.integers(0, 2**360 - 1))
def test_bitmaps_as_bytes(bits: int) -> None:
    assert bitmap_from_bytes(bitmap_to_bytes(bits)) == bits
    assert len(bitmap_to_bytes(bits)) <= 45


def test_an_empty_bitmap_is_empty() -> None:
    assert bitmap_to_bytes(0) == b""
