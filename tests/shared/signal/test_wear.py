"""Runs of hops in which a value stands still, by device and event time; what worn watches must never trigger."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.errors import InvalidRecord
from shared.signal.baseline import STILL_FOR_S, Hop, UserBaseline
from shared.signal.wear import BRIDGED_S, FROZEN_BPM_S, FROZEN_MG_S, NOT_WORN_S, DeviceHistory
from tests.shared.signal.single_user import SingleUser

HOP_MS = 10_000


def hop(index: int, *, sd_mg: float, bpm: int | None, seed: int = 0) -> Hop:
    rng = np.random.default_rng([seed, index])
    mg = np.rint(np.array([[0.0], [0.0], [1000.0]]) + rng.normal(0, sd_mg, (3, 250)))
    return Hop(
        start_ms=index * HOP_MS,
        hop_ms=HOP_MS,
        mg=mg,
        mg_covered=np.ones(250, dtype=bool),
        bpm=np.full(10, float(bpm or 0)),
        bpm_covered=np.ones(10, dtype=bool),
        resting=np.zeros(10, dtype=bool),
    )


def failed_of_last(hops: Sequence[Hop]) -> dict[str, str]:
    single = SingleUser()
    failed = {}
    for each in hops:
        failed = single.update(each)
    return dict(failed)


def test_a_heart_rate_that_stays_the_same_is_frozen_at_its_limit_and_not_before() -> None:
    hops = [hop(i, sd_mg=100, bpm=72) for i in range(FROZEN_BPM_S // 10)]
    assert failed_of_last(hops[:-1]) == {}
    assert failed_of_last(hops) == {"heart_rate": "frozen"}


@pytest.mark.parametrize("breaks", [hop(20, sd_mg=100, bpm=73), hop(20, sd_mg=100, bpm=None)])
def test_another_value_or_none_begins_the_run_anew(breaks: Hop) -> None:
    hops = [hop(i, sd_mg=100, bpm=72) for i in range(FROZEN_BPM_S // 10 + 10)]
    hops[20] = breaks
    assert failed_of_last(hops) == {}


@pytest.mark.parametrize(("unknown", "is_frozen"), [(BRIDGED_S // 10, True), (BRIDGED_S // 10 + 1, False)])
def test_a_run_goes_on_over_a_minute_that_is_not_known_and_no_longer(unknown: int, is_frozen: bool) -> None:
    numbers = [i for i in range(FROZEN_BPM_S // 10 + 10) if not 20 <= i < 20 + unknown]
    assert bool(failed_of_last([hop(i, sd_mg=100, bpm=72) for i in numbers])) == is_frozen


def test_an_accelerometer_without_noise_is_frozen() -> None:
    hops = [hop(i, sd_mg=0, bpm=70 + i % 2) for i in range(FROZEN_MG_S // 10)]
    assert failed_of_last(hops[:-1]) == {}
    assert failed_of_last(hops) == {"accelerometer": "frozen"}


def test_a_watch_on_a_table_is_not_worn_unless_it_reads_a_heart() -> None:
    table = [hop(i, sd_mg=3, bpm=None) for i in range(NOT_WORN_S // 10)]
    assert failed_of_last(table[:-1]) == {}
    assert failed_of_last(table) == {"accelerometer": "not_worn"}
    asleep = [hop(i, sd_mg=3, bpm=52 + i % 3) for i in range(NOT_WORN_S // 10)]
    assert failed_of_last(asleep) == {}


def test_a_second_watch_of_the_user_breaks_no_run_of_the_first() -> None:
    single = SingleUser()
    for i in range(NOT_WORN_S // 10):
        worn = single.update(hop(i, sd_mg=200, bpm=70 + i % 5), "worn")
        table = single.update(hop(i, sd_mg=3, bpm=None, seed=1), "on the table")
        frozen = single.update(hop(i, sd_mg=100, bpm=72, seed=2), "frozen")
    assert (worn, table, frozen) == ({}, {"accelerometer": "not_worn"}, {"heart_rate": "frozen"})


def test_a_second_watch_of_the_user_breaks_no_still_period_of_the_first() -> None:
    single = SingleUser()
    for i in range(STILL_FOR_S // 10 + 2):
        single.update(hop(i, sd_mg=5, bpm=60 + i % 2), "still")
        single.update(hop(i, sd_mg=300, bpm=None, seed=1), "moving")
    assert single.get(np.zeros((3, 500))).heart_rate.state == "still"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_order_in_which_windows_close_changes_no_later_answer(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(["frozen", "table", "moving"]), min_size=4, max_size=12))
    made = [
        hop(
            i,
            sd_mg={"frozen": 0, "table": 3, "moving": 200}[kind],
            bpm={"frozen": 72, "table": None}.get(kind, 60 + i % 9),
        )
        for i, kind in enumerate(np.repeat(kinds, 6))
    ]
    histories = []
    for order in (range(len(made)), data.draw(st.permutations(range(len(made))))):
        single = SingleUser()
        for index in order:
            single.update(made[index])
        single.update(made[-1])
        histories.append(single.state.histories["watch"])
    in_order, shuffled = histories
    for name in ("known", "same_mg", "motionless", "still", "newest"):
        assert getattr(in_order, name) == getattr(shuffled, name)
    assert in_order.still_s(made[-1].start_ms) == shuffled.still_s(made[-1].start_ms)


def test_a_window_that_closes_late_breaks_no_run() -> None:
    n = FROZEN_BPM_S // 10 + 5
    hops = [hop(i, sd_mg=0, bpm=72) for i in range(n)]
    late = hops.pop(n - 4)
    assert failed_of_last(hops) == {"accelerometer": "frozen", "heart_rate": "frozen"}
    assert failed_of_last([*hops, late]) == {"accelerometer": "frozen", "heart_rate": "frozen"}
    assert failed_of_last([*hops, late, hop(n, sd_mg=0, bpm=72)]) == {"accelerometer": "frozen", "heart_rate": "frozen"}


def test_a_late_window_that_shows_something_else_ends_the_run_where_it_lies() -> None:
    n = FROZEN_BPM_S // 10 + 5
    hops = [hop(i, sd_mg=0, bpm=72) for i in range(n)]
    hops.pop(n - 4)
    assert failed_of_last([*hops, hop(n - 4, sd_mg=100, bpm=90), hop(n, sd_mg=0, bpm=72)]) == {}


def test_a_back_fill_of_hours_ago_is_no_part_of_a_run() -> None:
    hops = [hop(1_000 + i, sd_mg=3, bpm=None) for i in range(NOT_WORN_S // 10)]
    assert failed_of_last([*hops, hop(10, sd_mg=3, bpm=None)]) == {}
    assert failed_of_last([*hops, hop(10, sd_mg=3, bpm=None), hops[-1]]) == {"accelerometer": "not_worn"}


def test_implausible_samples_update_no_baseline() -> None:
    single = SingleUser()
    for i in range(NOT_WORN_S // 10):
        single.update(hop(i, sd_mg=3, bpm=None))
    before = single.baseline.accelerometer.copy()
    single.update(hop(NOT_WORN_S // 10, sd_mg=3, bpm=None))
    np.testing.assert_array_equal(single.baseline.accelerometer, before)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from([0, 3, 200]), st.sampled_from([None, 60, 72])), max_size=40)
)
def test_a_history_survives_its_bytes(hops: list[tuple[int, float, int | None]]) -> None:
    single = SingleUser()
    for index, sd_mg, bpm in hops:
        single.update(hop(index, sd_mg=sd_mg, bpm=bpm))
        history = single.state.histories["watch"]
        assert DeviceHistory.from_bytes(history.to_bytes()) == history


VALID = DeviceHistory(HOP_MS, 7, 1, 1).to_bytes()


@pytest.mark.parametrize("data", [b"", VALID[:-1], b"\x09" + VALID[1:], VALID[:1] + b"\x07" + VALID[2:]])
def test_bytes_that_are_no_history(data: bytes) -> None:
    with pytest.raises(InvalidRecord, match="history"):
        DeviceHistory.from_bytes(data)


@pytest.mark.parametrize(("version", "header_bytes"), [(1, 16), (2, 40)])
def test_a_baseline_of_an_older_layout_is_read(version: int, header_bytes: int) -> None:
    single = SingleUser()
    single.update(hop(0, sd_mg=100, bpm=72))
    old = bytes([version]) + bytes(header_bytes - 1) + single.baseline.to_bytes()[4:]
    np.testing.assert_array_equal(UserBaseline.from_bytes(old).accelerometer, single.baseline.accelerometer)
