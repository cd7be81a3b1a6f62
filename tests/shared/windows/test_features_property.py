"""The same bits, however a stream is cut, ordered, repeated and interleaved (architecture.md, sections 4 to 6)."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.modality import MODALITIES, MODALITY_NAMES
from shared.contracts.window import AccelerometerBaseline, Baseline, HeartRateBaseline
from shared.signal.features import accelerometer_features, heart_rate_features, steps_features
from shared.windows.assembler import AssemblyResult
from shared.windows.closed_window import ClosedWindow
from shared.windows.featurise import MemoryBaselines, featurise, window_features
from tests.shared.signal.single_user import SingleUser
from tests.shared.windows.signals import Wearer, delays_ms, delivered, edges_ms, fold, pieces, wearer, wearers

FIXED = Baseline(AccelerometerBaseline("stable", (12, -33, 980)), HeartRateBaseline("resting", 61))
NO_DELAY = (0, 0, 0)
HOPS_MS = st.sampled_from([10_000, 20_000])


def bits(windows: Sequence[ClosedWindow]) -> dict[int, tuple[object, ...]]:
    """By window: all of it that reaches Kafka or a baseline, the features with fixed numbers."""
    features = window_features(windows, [FIXED] * len(windows)) if windows else []
    return {
        window.window_start_ms: (
            *(array[name].tobytes() for name in MODALITY_NAMES),
            *(window.signals[name].values.tobytes() for name in MODALITY_NAMES),
            *(window.signals[name].covered.tobytes() for name in MODALITY_NAMES),
            *((window.signals[name].coverage, window.signals[name].passes) for name in MODALITY_NAMES),
            window.resting.tobytes(),
            window.announced,
            window.utc_offset_min,
        )
        for window, array in zip(windows, features, strict=True)
    }


def gaps(closed: AssemblyResult) -> set[tuple[object, ...]]:
    """Without their reasons: whether an upload is missing shows in how the stream was cut."""
    return {(gap.modality, gap.start_ms, gap.end_ms, gap.coverage) for gap in closed.gaps}


def in_one_piece_each(person: Wearer, edges: list[int], lost: frozenset[int], hop_ms: int) -> AssemblyResult:
    """The reference: nothing is cut but where an upload was lost, and everything comes in order."""
    spans: list[list[int]] = []
    for begin, end in pieces(edges, lost):
        if spans and spans[-1][1] == begin:
            spans[-1][1] = end
        else:
            spans.append([begin, end])
    uploads = [person.upload(begin, end, seq) for seq, (begin, end) in enumerate(spans)]
    return fold(delivered(uploads, [0] * len(uploads), [NO_DELAY] * len(uploads)), hop_ms=hop_ms)


@settings(max_examples=50, deadline=None)
@given(st.data(), wearers(), edges_ms(), HOPS_MS)
def test_any_cut_order_repetition_and_interleaving(
    data: st.DataObject, person: Wearer, edges: list[int], hop_ms: int
) -> None:
    count = len(edges) - 1
    lost = data.draw(st.frozensets(st.integers(1, count - 1), max_size=2), "lost")
    uploads = [person.upload(*span, seq) for seq, span in enumerate(pieces(edges, lost))]
    repeated = data.draw(st.lists(st.sampled_from(uploads), max_size=4), "repeated")
    order = data.draw(st.permutations(uploads + repeated), "order")
    arrivals_ms = sorted(data.draw(st.lists(st.integers(0, 20_000), min_size=len(order), max_size=len(order))))
    log = delivered(order, arrivals_ms, data.draw(delays_ms(len(order))))
    closed, reference = fold(log, hop_ms=hop_ms), in_one_piece_each(person, edges, lost, hop_ms)
    assert len({w.window_start_ms for w in closed.windows}) == len(closed.windows)
    assert bits(closed.windows) == bits(reference.windows)
    assert gaps(closed) == gaps(reference)


@settings(max_examples=30, deadline=None)
@given(st.data(), wearers(), edges_ms(), HOPS_MS)
def test_in_order_the_baselines_are_the_same_too(
    data: st.DataObject, person: Wearer, edges: list[int], hop_ms: int
) -> None:
    uploads = [person.upload(*span, seq) for seq, span in enumerate(pieces(edges))]
    log = delivered(uploads, edges[1:], data.draw(delays_ms(len(uploads))))
    cut = featurise(fold(log, hop_ms=hop_ms).windows, MemoryBaselines()).windows
    whole = featurise(in_one_piece_each(person, edges, frozenset(), hop_ms).windows, MemoryBaselines()).windows
    assert len(cut) >= 3
    assert [record.encode() for _, record in cut] == [record.encode() for _, record in whole]


def test_a_part_of_an_upload_is_waited_for() -> None:
    """At 3 s before the window's end the spans of heart rate are within 2.5 s of it: not enough to close."""
    person = wearer(0)
    uploads = [person.upload(begin, begin + 5_000, seq) for seq, begin in enumerate(range(-2_000, 60_000, 5_000))]
    arrivals_ms = range(0, 5_000 * len(uploads), 5_000)
    first = {
        order: bits(fold(delivered(uploads, arrivals_ms, [order] * len(uploads))).windows)
        for order in [(0, 40, 80), (80, 0, 40), (40, 80, 0)]
    }
    assert first[0, 40, 80] == first[80, 0, 40] == first[40, 80, 0]
    heart = fold(delivered(uploads, arrivals_ms, [NO_DELAY] * len(uploads))).windows[0].signals["heart_rate"]
    read = person.samples[1][0, :20] > 0
    np.testing.assert_array_equal(heart.values[0][read], person.samples[1][0, :20][read])


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(1, 6), st.integers(0, 2**16))
def test_one_window_alone_and_many_in_one_batch(data: st.DataObject, count: int, seed: int) -> None:
    windows = fold(delivered([wearer(seed).upload(0, 70_000, 0)], [0], [NO_DELAY])).windows
    chosen = data.draw(st.lists(st.sampled_from(windows), min_size=count, max_size=count))
    number = st.integers(-2_000, 2_000)
    baselines = [
        Baseline(
            AccelerometerBaseline("stable", data.draw(st.tuples(number, number, number))),
            HeartRateBaseline("still", data.draw(st.integers(30, 220))),
        )
        for _ in chosen
    ]
    batch = window_features(chosen, baselines)
    for window, baseline, features in zip(chosen, baselines, batch, strict=True):
        alone = window_features([window], [baseline])[0]
        for modality in MODALITIES:
            assert features[modality.name].shape == modality.feature_shape
            assert alone[modality.name].tobytes() == features[modality.name].tobytes()


def test_window_is_computed_before_its_own_hop_updates_the_baseline() -> None:
    windows = fold(delivered([wearer(3).upload(0, 60_000, 0)], [0], [NO_DELAY])).windows
    baseline = SingleUser()
    for window, record in featurise(windows, MemoryBaselines()).windows:
        accelerometer = window.signals["accelerometer"]
        assert record.baseline == baseline.get(accelerometer.values)
        expected = window_features([window], [record.baseline])[0]
        assert all(record.features[name].tobytes() == expected[name].tobytes() for name in MODALITY_NAMES)
        hop = window.newest_hop()
        assert (hop.start_ms, hop.hop_ms) == (window.window_start_ms + 10_000, 10_000)
        np.testing.assert_array_equal(hop.mg, accelerometer.values[:, 250:])
        np.testing.assert_array_equal(hop.bpm, window.signals["heart_rate"].values[0, 10:])
        baseline.update(hop)
    assert len(windows) == 5


def test_a_masked_modality_is_zeros() -> None:
    windows = fold(delivered([wearer(1).upload(0, 40_000, 0)[:1]], [0], [NO_DELAY])).windows
    features = window_features(windows, [FIXED] * len(windows))
    assert all(not array[name].any() for array in features for name in ("heart_rate", "steps"))
    assert all(array["accelerometer"].any() for array in features)


@pytest.mark.parametrize("t", [1, 3, 500, 4321])
def test_any_length(t: int) -> None:
    assert accelerometer_features(np.zeros((2, 3, t)), np.zeros((2, 3))).shape == (2, 9, t)
    assert heart_rate_features(np.zeros((1, t)), np.array(70)).shape == (3, t)
    assert steps_features(np.zeros((1, t))).shape == (2, t)


def test_the_numbers_of_the_paper() -> None:
    """An impulse of 1 g goes through the 9 taps of a Gaussian, then through backward differences."""
    mg = np.zeros((3, 21))
    mg[:, 10] = 1000
    features = accelerometer_features(mg + 7, np.full(3, 7.0))
    taps = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    smooth = np.zeros(21)
    smooth[6:15] = taps / taps.sum()
    np.testing.assert_allclose(features[0], smooth, atol=1e-7)
    np.testing.assert_allclose(features[3], np.diff(smooth, prepend=smooth[0]), atol=1e-7)
    np.testing.assert_allclose(features[6], np.diff(features[3], prepend=features[3][0]), atol=1e-7)
    heart = heart_rate_features(np.array([[70.0, 92.0, 92.0]]), np.array(70))
    np.testing.assert_allclose(heart, [[0, 0.1, 0.1], [0, 22, 0], [0, 22, -22]], rtol=1e-6)


def test_the_margin_is_mirrored_with_its_last_sample() -> None:
    """scipy's "reflect": d c b a | a b c d | d c b a."""
    mg = np.random.default_rng(0).normal(0, 500, (3, 30))
    taps = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    expected = [np.convolve(np.pad(axis, 4, mode="symmetric"), taps / taps.sum(), mode="valid") for axis in mg / 1000]
    np.testing.assert_allclose(accelerometer_features(mg, np.zeros(3))[:3], expected, atol=1e-6)


def test_a_total_that_falls_is_a_reset() -> None:
    features = steps_features(np.array([[10.0, 13.0, 1.0, 3.0]]))
    np.testing.assert_array_equal(features, [[0, 3, 0, 2], [0, 3, -3, 2]])


def test_a_leap_of_the_counter_stays_finite() -> None:
    features = steps_features(np.array([[0.0, 2.0**31 - 1, 2.0**31 - 1]])).astype(np.float16)
    assert np.isfinite(features).all()
