"""After every update the streaming value equals the batch value; the state survives its bytes."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.errors import InvalidRecord
from shared.contracts.window import AccelerometerBaseline, HeartRateBaseline
from shared.signal.baseline import BIN_MG, BINS, HALVE_ABOVE_S, STILL_FOR_S, Hop, UserBaseline
from tests.shared.signal.single_user import SingleUser
from tests.shared.windows.signals import BASE_MS

HOP_S = 10
PAUSED = 10
"""Every tenth hop: longer between them than a run goes on unseen."""


def hop(
    index: int,
    *,
    mg: np.ndarray | float = 0.0,
    covered: np.ndarray | bool = True,
    bpm: Sequence[float] | float = 0.0,
    bpm_covered: bool = True,
    resting: bool = False,
) -> Hop:
    """The index-th hop of 10 s; ``mg`` (3, 250), one number per axis, or one for all."""
    return Hop(
        start_ms=BASE_MS + index * HOP_S * 1000,
        hop_ms=HOP_S * 1000,
        mg=np.broadcast_to(np.reshape(mg, (-1, 1)) if np.ndim(mg) < 2 else mg, (3, 250)).astype(np.float64),
        mg_covered=np.broadcast_to(np.asarray(covered), 250),
        bpm=np.broadcast_to(np.asarray(bpm, dtype=np.float64), HOP_S),
        bpm_covered=np.full(HOP_S, bpm_covered),
        resting=np.full(HOP_S, resting),
    )


def bouncing(index: int, **more: float | bool) -> Hop:
    """A hop in which nobody would call the wearer still."""
    return hop(index, mg=np.tile([-500.0, 500.0], (3, 125)), **more)  # type: ignore[arg-type]


def batch_median(values: np.ndarray) -> float:
    """Median of the histogram of all values at once, interpolated inside its bin, by walking through the bins."""
    bins = np.clip(np.floor(values / BIN_MG), -BINS // 2, BINS // 2 - 1)
    below = 0
    for edge in np.arange(-BINS // 2, BINS // 2):
        inside = int(np.sum(bins == edge))
        if inside and below + inside >= len(values) / 2:
            return float(edge + (len(values) / 2 - below) / inside) * BIN_MG
        below += inside
    raise AssertionError("no values")


def median_of(baseline: SingleUser) -> tuple[int, int, int]:
    return baseline.get(np.zeros((3, 500))).accelerometer.mg


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 6), st.floats(1, 1500), st.floats(0, 1))
def test_streaming_equals_batch_after_every_update(seed: int, hops: int, sd_mg: float, cover: float) -> None:
    rng = np.random.default_rng(seed)
    baseline, seen = SingleUser(), np.empty((3, 0))
    for index in range(hops):
        mg = rng.normal(rng.integers(-1000, 1000, (3, 1)), sd_mg, (3, 250))
        covered = rng.random(250) <= cover
        covered[0] = True
        baseline.update(hop(index, mg=mg, covered=covered))
        seen = np.concatenate([seen, mg[:, covered]], axis=1)
        medians = median_of(baseline)
        assert medians == tuple(int(np.rint(batch_median(axis))) for axis in seen)
        for median, axis in zip(medians, seen, strict=True):
            # Between two middle values that lie apart, any number is a median.
            low, high = np.percentile(axis, 50, method="lower"), np.percentile(axis, 50, method="higher")
            assert low - BIN_MG <= median <= high + BIN_MG


def test_within_a_bin_of_numpys_median() -> None:
    rng = np.random.default_rng(0)
    baseline, seen = SingleUser(), []
    for index in range(200):
        mg = rng.normal([[0], [-333], [980]], [[300], [20], [5]], (3, 250))
        seen.append(mg)
        baseline.update(hop(index, mg=mg))
        np.testing.assert_allclose(median_of(baseline), np.median(np.concatenate(seen, axis=1), axis=1), atol=BIN_MG)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(8)))
def test_equal_updates_in_any_order_give_the_same_median(order: list[int]) -> None:
    baseline, reference = SingleUser(), SingleUser()
    for index in order:
        baseline.update(hop(index, mg=100.0 * index))
    for index in range(8):
        reference.update(hop(index, mg=100.0 * index))
    assert median_of(baseline) == median_of(reference)


def test_beyond_the_outermost_bins() -> None:
    baseline = SingleUser()
    baseline.update(hop(0, mg=np.array([-20_000.0, 20_000.0, 4_095.0])))
    x, y, z = median_of(baseline)
    assert (x, y, z) == (-4_088, 4_088, 4_088)


def test_before_the_first_update_the_windows_own_median_is_used() -> None:
    window = np.random.default_rng(1).normal([[10], [20], [1000]], 50, (3, 500))
    own = tuple(int(value) for value in np.rint(np.median(window, axis=1)))
    assert SingleUser().get(window).accelerometer == AccelerometerBaseline("cold", own)
    assert SingleUser().get(window).heart_rate == HeartRateBaseline("default", 70)


def test_cold_below_five_minutes_of_samples() -> None:
    baseline = SingleUser()
    states = []
    for index in range(30):
        baseline.update(bouncing(index))
        states.append(baseline.get(np.zeros((3, 500))).accelerometer.state)
    assert states == ["cold"] * 29 + ["stable"]


def test_a_user_whose_state_could_not_be_read() -> None:
    baseline = SingleUser().get(np.full((3, 500), 5.0), available=False)
    assert baseline.accelerometer == AccelerometerBaseline("unavailable", (5, 5, 5))
    assert baseline.heart_rate == HeartRateBaseline("unavailable", 70)


def test_counts_halve_above_six_hours_so_that_a_changed_wrist_is_forgotten() -> None:
    baseline = SingleUser()
    hops = HALVE_ABOVE_S // HOP_S
    # With pauses: a value that stands still without one would be taken for a frozen sensor's.
    for index in range(hops):
        baseline.update(hop(PAUSED * index, mg=500.0))
    assert int(baseline.baseline.accelerometer[0].sum()) == HALVE_ABOVE_S * 25
    baseline.update(hop(PAUSED * hops, mg=500.0))
    assert int(baseline.baseline.accelerometer[0].sum()) == (HALVE_ABOVE_S * 25 + 250) // 2
    forgotten = 0
    while median_of(baseline)[0] > 0:
        baseline.update(hop(PAUSED * (hops + 1 + forgotten), mg=-500.0))
        forgotten += 1
    # Half of six hours, where the plain median would take all six.
    assert hops // 2 - 1 <= forgotten <= hops // 2 + 2


def test_heart_rate_counts_halve_too() -> None:
    baseline = SingleUser()
    for index in range(HALVE_ABOVE_S // HOP_S + 1):
        baseline.update(bouncing(PAUSED * index, bpm=60, resting=True))
    assert int(baseline.baseline.resting.sum()) == (HALVE_ABOVE_S + HOP_S) // 2


def heart(baseline: SingleUser) -> HeartRateBaseline:
    return baseline.get(np.zeros((3, 500))).heart_rate


def test_the_resting_phase_wins_over_still_periods() -> None:
    baseline = SingleUser()
    for index in range(20):
        baseline.update(hop(index, bpm=80))
    assert heart(baseline) == HeartRateBaseline("still", 80)
    baseline.update(hop(20, bpm=[58, 59, 60, 61, 62, 63, 64, 65, 66, 67], resting=True))
    assert heart(baseline) == HeartRateBaseline("resting", 62)


def test_fewer_than_ten_readings_are_no_resting_phase() -> None:
    baseline = SingleUser()
    baseline.update(bouncing(0, bpm=[60] * 9 + [0], resting=True))  # type: ignore[arg-type]
    assert heart(baseline).state == "default"
    baseline.update(bouncing(1, bpm=[60] + [0] * 9, resting=True))  # type: ignore[arg-type]
    assert heart(baseline) == HeartRateBaseline("resting", 60)


def test_uncovered_readings_do_not_count() -> None:
    baseline = SingleUser()
    baseline.update(bouncing(0, bpm=60, bpm_covered=False, resting=True))
    assert int(baseline.baseline.resting.sum()) == 0


@settings(max_examples=30, deadline=None)
@given(
    # Mostly still, so that 120 s come together.
    st.lists(st.sampled_from([*["still"] * 20, "moving", "uncovered", *["skipped"] * 4]), min_size=20, max_size=60),
    st.integers(0, 2**16),
)
def test_still_periods(kinds: list[str], seed: int) -> None:
    """After every update: heart rate counts from the hop on with which 120 s of stillness are full.

    Up to a minute that is not known breaks nothing.
    """
    rng = np.random.default_rng(seed)
    baseline, run_s, skipped, expected = SingleUser(), 0, 0, np.zeros(256, dtype=np.int64)
    for index, kind in enumerate(kinds):
        if kind == "skipped":
            skipped += 1
            continue
        run_s = run_s + skipped * HOP_S if run_s and skipped <= 6 else 0
        skipped = 0
        bpm = rng.integers(50, 100, HOP_S)
        covered = np.arange(250) != 7 if kind == "uncovered" else True
        sd_mg = 60.0 if kind == "moving" else 5.0
        mg = rng.normal(0, [[5.0], [sd_mg], [5.0]], (3, 250))
        baseline.update(hop(index, mg=mg, covered=covered, bpm=bpm.astype(float).tolist()))
        run_s = run_s + HOP_S if kind == "still" else 0
        if run_s >= STILL_FOR_S:
            expected += np.bincount(bpm, minlength=256)
        np.testing.assert_array_equal(baseline.baseline.still, expected)
    if expected.sum() >= 10:
        readings = np.repeat(np.arange(256), expected)
        assert heart(baseline) == HeartRateBaseline("still", int(np.percentile(readings, 50, method="lower")))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.integers(0, 40), st.integers(1, 5))
def test_bytes_there_and_back(seed: int, before: int, after: int) -> None:
    """A baseline that has been through its bytes goes on exactly like one that has not."""
    rng = np.random.default_rng(seed)

    def some(index: int) -> Hop:
        sd_mg = float(rng.choice([5.0, 5.0, 5.0, 200.0]))
        mg = rng.normal(0, sd_mg, (3, 250))
        return hop(index, mg=mg, bpm=rng.integers(0, 255, HOP_S).tolist(), resting=bool(rng.integers(2)))

    baseline = SingleUser()
    for index in range(before):
        baseline.update(some(index))
    data = baseline.baseline.to_bytes()
    assert len(data) == 7_172
    again = baseline.through_bytes()
    assert again.baseline.to_bytes() == data
    for index in range(before, before + after):
        follows = some(index)
        baseline.update(follows)
        again.update(follows)
        assert again.baseline.to_bytes() == baseline.baseline.to_bytes()
        assert again.get(follows.mg) == baseline.get(follows.mg)


EMPTY = UserBaseline().to_bytes()


@pytest.mark.parametrize("data", [b"", b"\x01", EMPTY[:-1], b"\x01" + EMPTY[1:], b"\x04" + EMPTY[1:]])
def test_bytes_that_are_no_baseline(data: bytes) -> None:
    with pytest.raises(InvalidRecord, match="baseline of"):
        UserBaseline.from_bytes(data)
