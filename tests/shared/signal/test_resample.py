"""A window's grid: interpolation, coverage and gaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.modality import ACCELEROMETER, HEART_RATE, MODALITIES, STEPS, WINDOW_MS, Modality
from shared.signal.resample import GridSignal, even_signals, grid_signal
from tests.shared.windows.signals import BASE_MS


def signal(modality: Modality, stamps_ms: np.ndarray | list[float], values: np.ndarray | list[float]) -> GridSignal:
    """The grid of one window, the same values on every channel."""
    t_ms = BASE_MS + np.asarray(stamps_ms, dtype=np.float64)
    return grid_signal(modality, BASE_MS, t_ms, np.tile(np.asarray(values), (modality.channels, 1)))


def without(stamps_ms: np.ndarray, *gaps_ms: tuple[float, float]) -> np.ndarray:
    """All but the stamps inside the gaps."""
    keep = np.ones(len(stamps_ms), dtype=bool)
    for begin, end in gaps_ms:
        keep &= (stamps_ms <= begin) | (stamps_ms >= end)
    return stamps_ms[keep]


@st.composite
def stamps_ms(draw: st.DrawFn, modality: Modality) -> list[float]:
    """Anything from full rate to mostly gaps, on and off the grid."""
    step = 1000 // modality.rate_hz
    gap = st.one_of(st.just(step), st.just(step), st.integers(1, 3 * step), st.integers(1, 2 * step * 20))
    stamps: list[float] = [draw(st.integers(0, 3 * step))]
    for width in draw(st.lists(gap, max_size=WINDOW_MS // step)):
        stamps.append(stamps[-1] + width)
    return [stamp for stamp in stamps if stamp < WINDOW_MS]


def covered_by_definition(modality: Modality, stamps: list[float]) -> list[bool]:
    """Grid point by grid point, as architecture.md puts it."""
    covered = []
    for point in np.arange(modality.grid_n) * 1000 / modality.rate_hz:
        before = max((s for s in stamps if s <= point), default=None)
        after = min((s for s in stamps if s >= point), default=None)
        low, high = point if before is None else before, point if after is None else after
        covered.append(bool(stamps) and high - low <= modality.max_step_ms)
    return covered


@settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from(MODALITIES))
def test_coverage_by_definition(data: st.DataObject, modality: Modality) -> None:
    stamps = data.draw(stamps_ms(modality))
    grid = signal(modality, stamps, np.arange(len(stamps)) + 100)
    covered = covered_by_definition(modality, stamps)
    gaps = np.diff([0, *stamps, WINDOW_MS])
    assert grid.covered.tolist() == covered
    assert grid.coverage == sum(covered) / modality.grid_n
    expected = grid.coverage >= modality.min_coverage and max(gaps) <= modality.max_dropout_ms and bool(stamps)
    assert grid.passes == expected
    assert grid.values.shape == (modality.channels, modality.grid_n)
    assert grid.passes or not grid.values.any()


def test_samples_on_the_grid_are_taken_as_they_are() -> None:
    values = np.random.default_rng(0).integers(-2000, 2000, 500)
    grid = signal(ACCELEROMETER, np.arange(500) * 40.0, values)
    np.testing.assert_array_equal(grid.values, np.tile(values, (3, 1)))
    assert grid.passes
    assert grid.coverage == 1.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from([20, 25, 32, 50, 100]), st.integers(0, 39))
def test_linear_between_neighbours_and_the_nearest_at_the_margins(seed: int, rate_hz: int, phase_ms: int) -> None:
    stamps = phase_ms + np.arange(20 * rate_hz - 2) * 1000 / rate_hz
    values = np.random.default_rng(seed).integers(-2000, 2000, len(stamps))
    grid = signal(ACCELEROMETER, stamps, values)
    assert grid.passes
    for index in (0, 1, 250, 498, 499):
        point = index * 40.0
        right = int(np.searchsorted(stamps, point))
        if right in (0, len(stamps)):
            expected = values[min(right, len(stamps) - 1)]
        else:
            share = (point - stamps[right - 1]) / (stamps[right] - stamps[right - 1])
            expected = values[right - 1] + share * (values[right] - values[right - 1])
        np.testing.assert_allclose(grid.values[:, index], expected, atol=1e-6)


def test_the_first_record_with_a_stamp_wins() -> None:
    stamps = np.concatenate([np.arange(500) * 40.0, np.arange(100, 200) * 40.0])
    values = np.concatenate([np.full(500, 7), np.full(100, 9)])
    assert np.all(signal(ACCELEROMETER, stamps, values).values == 7)
    assert np.all(signal(ACCELEROMETER, stamps[::-1], values[::-1]).values[:, 100:200] == 9)


@pytest.mark.parametrize(
    ("modality", "gap_ms", "passes"),
    [
        (ACCELEROMETER, (8_000, 9_000), True),
        (ACCELEROMETER, (8_000, 9_040), False),
        (HEART_RATE, (5_000, 15_000), True),
        (HEART_RATE, (5_000, 16_000), False),
        (STEPS, (5_000, 16_000), True),
        (STEPS, (5_000, 17_000), False),
    ],
)
def test_largest_gap_decides_whether_a_modality_passes(
    modality: Modality, gap_ms: tuple[int, int], passes: bool
) -> None:
    stamps = without(np.arange(modality.grid_n) * 1000.0 / modality.rate_hz, gap_ms)
    assert signal(modality, stamps, np.full(len(stamps), 50)).passes == passes


def test_gap_in_a_passing_modality_is_interpolated() -> None:
    stamps = without(np.arange(20) * 1000.0, (8_000, 12_000))
    grid = signal(STEPS, stamps, stamps / 1000)
    np.testing.assert_array_equal(grid.values[0], np.arange(20))
    assert grid.covered.tolist() == [True] * 9 + [False] * 3 + [True] * 8


def test_no_samples_give_no_signal() -> None:
    grid = signal(ACCELEROMETER, [], [])
    assert (grid.passes, grid.coverage, grid.covered.any(), grid.values.any()) == (False, 0.0, False, False)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(MODALITIES), st.integers(0, 2**32 - 1))
def test_an_even_signal_is_the_same_bit_by_bit(data: st.DataObject, modality: Modality, seed: int) -> None:
    step_ms = 1000 // modality.rate_hz
    offsets_ms = data.draw(st.lists(st.integers(0, step_ms - 1), min_size=1, max_size=4))
    limits = np.iinfo(modality.dtype)
    shape = (len(offsets_ms), modality.channels, modality.grid_n)
    samples = np.random.default_rng(seed).integers(max(limits.min, -32_768), limits.max, shape).astype(modality.dtype)
    for offset_ms, each, even in zip(
        offsets_ms, samples, even_signals(modality, np.array(offsets_ms), samples), strict=True
    ):
        t_ms = BASE_MS + offset_ms + np.arange(modality.grid_n, dtype=np.float64) * step_ms
        general = grid_signal(modality, BASE_MS, t_ms, each)
        assert even.values.tobytes() == general.values.tobytes()
        assert (even.covered.tolist(), even.coverage, even.passes) == (general.covered.tolist(), 1.0, general.passes)
