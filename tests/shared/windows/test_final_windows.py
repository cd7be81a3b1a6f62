"""The bitmap of final windows against a plain set."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.time_limits import FINAL_KEPT_MS, HOUR_MS
from shared.windows.final_windows import FinalWindows
from tests.shared.windows.signals import BASE_MS

# Dense around an hour's edge, and some hours apart.
SLOTS = st.one_of(st.integers(-8, 8), st.integers(-2_000, 2_000))


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([(10_000, 0), (10_000, 9_000), (20_000, 0), (20_000, 13_000)]),
    st.lists(SLOTS, max_size=20),
    st.lists(SLOTS, min_size=1, max_size=20),
)
def test_final_windows_behave_as_a_set(grid: tuple[int, int], added: list[int], asked: list[int]) -> None:
    hop_ms, phase_ms = grid
    edge_ms = BASE_MS // HOUR_MS * HOUR_MS + phase_ms
    starts = {edge_ms + slot * hop_ms for slot in added}
    slots = FinalWindows(hop_ms, phase_ms=phase_ms)
    for start in starts:
        assert slots.add(start) == start // HOUR_MS
    assert set(slots.hours) == {start // HOUR_MS for start in starts}
    for start in (edge_ms + slot * hop_ms for slot in asked):
        assert (start in slots) == (start in starts)
        assert slots.last_before(start) == max((s for s in starts if s < start), default=None)
        bits = slots.bits(start, start + 400 * hop_ms)
        assert {start + slot * hop_ms for slot in range(401) if bits >> slot & 1} == {
            s for s in starts if start <= s <= start + 400 * hop_ms
        }


@pytest.mark.parametrize(("hop_ms", "phase_ms"), [(10_000, 0), (10_000, 9_000), (20_000, 0), (20_000, 19_000)])
def test_an_hour_fits_its_bitmap(hop_ms: int, phase_ms: int) -> None:
    slots = FinalWindows(hop_ms, phase_ms=phase_ms)
    for start in range(phase_ms, HOUR_MS, hop_ms):
        slots.add(HOUR_MS + start)
    assert slots.hours == {1: (1 << (HOUR_MS // hop_ms)) - 1}
    again = FinalWindows(hop_ms, slots.hours, phase_ms=phase_ms)
    assert again.last_before(3 * HOUR_MS + phase_ms) == 2 * HOUR_MS - hop_ms + phase_ms


def test_old_hours_are_forgotten() -> None:
    slots = FinalWindows(10_000)
    newest = BASE_MS // HOUR_MS
    for hour in (newest, newest - FINAL_KEPT_MS // HOUR_MS, newest - FINAL_KEPT_MS // HOUR_MS - 1):
        slots.add(hour * HOUR_MS)
    assert slots.forget_old() == [newest - FINAL_KEPT_MS // HOUR_MS - 1]
    assert set(slots.hours) == {newest, newest - FINAL_KEPT_MS // HOUR_MS}
    assert FinalWindows(10_000).forget_old() == []
