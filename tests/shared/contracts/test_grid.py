"""The phases are part of the contract: they never change."""

import pytest

from shared.contracts.grid import grid_phase_ms
from shared.contracts.users import partition_of

USERS = [f"user-{n}" for n in range(12_000)]


@pytest.mark.parametrize(
    ("user", "of_10_s", "of_20_s"),
    [("a", 0, 10_000), ("b", 6_000, 6_000), ("u", 5_000, 15_000), ("u4", 9_000, 9_000), ("e4-S03", 4_000, 14_000)],
)
def test_golden_phases(user: str, of_10_s: int, of_20_s: int) -> None:
    assert (grid_phase_ms(user, 10_000), grid_phase_ms(user, 20_000)) == (of_10_s, of_20_s)


@pytest.mark.parametrize("hop_ms", [10_000, 20_000])
def test_a_phase_is_a_whole_second_of_the_hop_and_all_are_as_frequent_in_each_partition(hop_ms: int) -> None:
    counts: dict[tuple[int, int], int] = {}
    for user in USERS:
        place = partition_of(user, 4), grid_phase_ms(user, hop_ms)
        counts[place] = counts.get(place, 0) + 1
    phases = range(0, hop_ms, 1000)
    assert counts.keys() == {(partition, phase_ms) for partition in range(4) for phase_ms in phases}
    mean = len(USERS) / 4 / len(phases)
    assert max(abs(count - mean) for count in counts.values()) < 5 * mean**0.5


def test_windows_of_the_longer_hop_are_also_windows_of_the_shorter_one() -> None:
    assert all(grid_phase_ms(user, 20_000) % 10_000 == grid_phase_ms(user, 10_000) for user in USERS)
