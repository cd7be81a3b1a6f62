"""Runs of hops in which a value stands still: what is not believed, and what worn watches must never trigger."""

import numpy as np
import pytest

from shared.signal.baseline import Hop, UserBaseline
from shared.signal.wear import FROZEN_BPM_S, FROZEN_MG_S, NOT_WORN_S, WearState

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


def state_after(hops: list[Hop]) -> WearState:
    baseline = UserBaseline()
    for each in hops:
        baseline.update(each)
    return baseline.wear


def test_a_heart_rate_that_stays_the_same_is_frozen_at_its_limit_and_not_before() -> None:
    hops = [hop(i, sd_mg=100, bpm=72) for i in range(FROZEN_BPM_S // 10)]
    assert state_after(hops[:-1]).suspects == {}
    assert state_after(hops).suspects == {"heart_rate": "frozen"}


@pytest.mark.parametrize("breaks", [hop(20, sd_mg=100, bpm=73), hop(20, sd_mg=100, bpm=None)])
def test_another_value_or_none_begins_the_run_anew(breaks: Hop) -> None:
    hops = [hop(i, sd_mg=100, bpm=72) for i in range(FROZEN_BPM_S // 10 + 10)]
    hops[20] = breaks
    assert state_after(hops).suspects == {}


def test_hops_that_do_not_follow_each_other_are_no_run() -> None:
    hops = [hop(2 * i, sd_mg=100, bpm=72) for i in range(FROZEN_BPM_S // 10)]
    assert state_after(hops).suspects == {}


def test_an_accelerometer_without_noise_is_frozen() -> None:
    hops = [hop(i, sd_mg=0, bpm=70 + i % 2) for i in range(FROZEN_MG_S // 10)]
    assert state_after(hops[:-1]).suspects == {}
    assert state_after(hops).suspects == {"accelerometer": "frozen"}


def test_a_watch_on_a_table_is_not_worn_unless_it_reads_a_heart() -> None:
    table = [hop(i, sd_mg=3, bpm=None) for i in range(NOT_WORN_S // 10)]
    assert state_after(table[:-1]).suspects == {}
    assert state_after(table).suspects == {"accelerometer": "not_worn"}
    asleep = [hop(i, sd_mg=3, bpm=52 + i % 3) for i in range(NOT_WORN_S // 10)]
    assert state_after(asleep).suspects == {}


def test_what_is_not_believed_moves_no_baseline() -> None:
    baseline = UserBaseline()
    for i in range(NOT_WORN_S // 10):
        baseline.update(hop(i, sd_mg=3, bpm=None))
    before = baseline.accelerometer.copy()
    baseline.update(hop(NOT_WORN_S // 10, sd_mg=3, bpm=None))
    np.testing.assert_array_equal(baseline.accelerometer, before)


def test_suspects_of_a_hop_are_those_after_its_fold() -> None:
    baseline = UserBaseline()
    for i in range(FROZEN_BPM_S // 10 + 2):
        told = baseline.suspects(hop(i, sd_mg=100, bpm=72))
        baseline.update(hop(i, sd_mg=100, bpm=72))
        assert told == baseline.wear.suspects
    assert told


def test_the_state_survives_its_bytes() -> None:
    baseline = UserBaseline()
    for i in range(7):
        baseline.update(hop(i, sd_mg=3, bpm=None))
    assert UserBaseline.from_bytes(baseline.to_bytes()).wear == baseline.wear != WearState()


def test_a_baseline_of_version_1_is_read_without_a_wear_state() -> None:
    baseline = UserBaseline()
    baseline.update(hop(0, sd_mg=100, bpm=72))
    data = baseline.to_bytes()
    old = bytes([1]) + data[1:16] + data[40:]
    read = UserBaseline.from_bytes(old)
    np.testing.assert_array_equal(read.accelerometer, baseline.accelerometer)
    assert read.wear == WearState()
