"""Connectivity on event time with hysteresis; clock skew from what uploads say."""

from shared.windows.connectivity import SKEW_UPLOADS, ClockSkew, Connectivity


def test_a_watch_is_lost_after_two_minutes_and_back_only_with_data_of_now() -> None:
    presence = Connectivity()
    presence.observe(1_000_000, 1_000_000)
    assert presence.is_connected(1_120_000)
    assert not presence.is_connected(1_120_001)
    presence.observe(1_130_000, 1_060_000)  # a back-fill: an hour of data that is over
    assert not presence.is_connected(1_130_000)
    presence.observe(1_140_000, 1_109_999)  # 30 s old: not yet
    assert not presence.is_connected(1_140_000)
    presence.observe(1_141_000, 1_130_000)
    assert presence.is_connected(1_141_000)


def test_skew_is_the_smallest_difference_of_late() -> None:
    skew = ClockSkew()
    assert skew.get() is None
    for difference_ms in (900, 250, 4_000):
        skew.update(difference_ms)
    assert skew.get() == 250


def test_clock_that_was_set_counts_after_two_blocks() -> None:
    skew = ClockSkew()
    for difference_ms in [100] * 5 + [7_000] * 2 * SKEW_UPLOADS:
        skew.update(difference_ms)
    assert skew.get() == 7_000
    skew.update(-3_000)
    assert skew.get() == -3_000
