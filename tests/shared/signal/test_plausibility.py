"""What no body has is no reading, at every way in; what watches really send stays."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.modality import ACCELEROMETER, HEART_RATE, MODALITIES, STEPS, Modality
from shared.contracts.samples import SampleRecord
from shared.signal.plausibility import FAULTS, MAX_MG, are_plausible, find_faults
from shared.windows.assembler import Assembler, AssemblyResult
from shared.windows.featurise import MemoryBaselines, featurise
from shared.windows.merge import LogRecord
from tests.shared.windows.signals import BASE_MS, GRACE_MS, Upload, wearer
from training.datasets import read_recording
from training.offline import assemble

SECONDS_MS = np.arange(20) * 1_000.0
GRID_MS = np.arange(500) * 40.0
RECORDINGS = Path(__file__).resolve().parents[3] / "examples" / "recordings"


def faults(modality, t_ms, samples, read=None) -> dict[str, list[int]]:
    samples = np.atleast_2d(np.asarray(samples)).astype(modality.dtype)
    read = np.ones(samples.shape[1], dtype=bool) if read is None else read
    return {name: np.flatnonzero(bad).tolist() for name, bad in find_faults(modality, t_ms, samples, read).items()}


@pytest.mark.parametrize(
    ("bpm", "is_fault"), [(24, True), (25, False), (240, False), (241, True), (254, True), (255, True)]
)
def test_a_heart_rate_that_no_heart_has(bpm: int, is_fault: bool) -> None:
    # Two of them: one alone would be a spike.
    assert faults(HEART_RATE, SECONDS_MS, [bpm, bpm, *[bpm] * 18]) == ({"range": list(range(20))} if is_fault else {})


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        ([4_000, 4_000, 4_012, 4_015], {}),  # ten steps that a pedometer held back
        ([4_000, 65_535, 4_001, 4_003], {"jump": [1]}),
        ([4_000, 4_002, 9_000, 9_002], {"jump": [2, 3]}),
        ([65_535, 4_000, 4_001, 4_003], {}),  # whatever it was before, a total that falls gives no steps
        ([4_000, 2, 4, 5], {}),  # midnight
        ([4_000, 2**31 - 1, 536_876_864, 4_001], {"range": [1, 2]}),
        ([100, 130, 131, 162], {"jump": [3]}),  # 30 at once may be 10 s of running, 31 may not
    ],
)
def test_steps_that_nobody_can_walk(totals: list[int], expected: dict[str, list[int]]) -> None:
    assert faults(STEPS, SECONDS_MS[:4], totals) == expected


def test_a_pause_in_the_count_allows_as_many_steps_as_fit_into_it() -> None:
    assert faults(STEPS, np.array([0.0, 15_000.0]), [100, 190]) == {}
    assert faults(STEPS, np.array([0.0, 15_000.0]), [100, 191]) == {"jump": [1]}


def test_no_reading_is_no_fault_and_proves_nothing() -> None:
    read = np.array([True, False, True, True])
    assert faults(STEPS, SECONDS_MS[:4], [4_000, -1, 4_001, 4_002], read) == {}
    assert faults(HEART_RATE, SECONDS_MS[:4], [70, 0, 71, 72], read) == {}


@pytest.mark.parametrize(
    ("bpm", "expected"),
    [
        ([70, 71, 101, 72, 73], {}),
        ([70, 71, 103, 72, 73], {"spike": [2]}),
        ([150, 151, 70, 152, 150], {"spike": [2]}),
        ([70, 71, 150, 151, 152], {}),  # a sensor that has found the pulse again
        ([200, 71, 72, 73, 74], {"spike": [0]}),
        ([70, 71, 72, 73, 200], {"spike": [4]}),
        ([70, 200, 72, 73, 26], {"spike": [1, 4]}),
        ([70, 200], {}),  # nobody can tell which
    ],
)
def test_a_single_heart_rate_far_from_its_neighbours(bpm: list[int], expected: dict[str, list[int]]) -> None:
    assert faults(HEART_RATE, SECONDS_MS[: len(bpm)], bpm) == expected


def test_a_single_acceleration_far_from_its_neighbours() -> None:
    mg = np.random.default_rng(1).normal([[0], [0], [1000]], 50, (3, 500))
    mg[0, 7], mg[1, 200], mg[2, 300:302] = 9_000, -15_000, 12_000
    assert faults(ACCELEROMETER, GRID_MS, mg) == {"spike": [7, 200]}


@pytest.mark.parametrize("value", [2_000, -2_000, 8_000, 16_000])
@pytest.mark.parametrize(("n", "is_fault"), [(15, False), (16, True), (25, True)])
def test_an_axis_that_is_stuck_beyond_gravity(value: int, n: int, is_fault: bool) -> None:
    mg = np.random.default_rng(1).normal([[0], [0], [1000]], 50, (3, 500))
    mg[1, 100 : 100 + n] = value
    assert faults(ACCELEROMETER, GRID_MS, mg) == ({"stuck": list(range(100, 100 + n))} if is_fault else {})


def test_a_watch_that_hangs_still_under_gravity_is_not_stuck() -> None:
    assert faults(ACCELEROMETER, GRID_MS, np.tile([[-1_016], [0], [16]], 500)) == {}


@pytest.mark.parametrize("value", [MAX_MG + 1, -MAX_MG - 1, 32_767, -32_768])
def test_an_acceleration_beyond_any_watchs_range(value: int) -> None:
    mg = np.random.default_rng(1).normal([[0], [0], [1000]], 50, (3, 500))
    mg[2, 7:9] = value
    assert faults(ACCELEROMETER, GRID_MS, mg) == {"range": [7, 8]}


@given(st.data(), st.sampled_from(MODALITIES))
def test_a_window_that_is_plausible_at_a_glance_has_no_fault(data: st.DataObject, modality: Modality) -> None:
    """Around each limit, with runs that are nearly as long as a stuck axis may be."""
    edges = {
        "accelerometer": [-32_768, -17_001, -17_000, -8_000, -1_500, -1_499, 0, 1_499, 1_500, 8_000, 17_000, 17_001],
        "heart_rate": [24, 25, 54, 55, 56, 85, 86, 210, 240, 241],
        "steps": [0, 29, 30, 31, 60, 518_370, 518_400, 518_401, 2**31 - 1],
    }[modality.name]
    runs = st.lists(st.tuples(st.sampled_from(edges), st.integers(1, 17)), min_size=20, max_size=20)
    rows = [
        np.concatenate([np.full(n, value) for value, n in data.draw(runs)])[:20] for _ in range(2 * modality.channels)
    ]
    windows = np.array(rows).reshape(2, modality.channels, 20).astype(modality.dtype)
    for window, plausible in zip(windows, are_plausible(modality, windows), strict=True):
        found = find_faults(modality, np.arange(20) * 1000.0 / modality.rate_hz, window, np.ones(20, dtype=bool))
        assert not (plausible and found)


def test_real_life_is_plausible_at_a_glance() -> None:
    running = np.tile(np.array([-3_000, 200, 3_500, 100]), (1, 3, 5)).astype("<i2")
    assert are_plausible(ACCELEROMETER, running).all()
    assert are_plausible(HEART_RATE, np.arange(70, 90, dtype="u1").reshape(1, 1, 20)).all()
    assert are_plausible(STEPS, np.arange(4_000, 4_020, dtype="<i4").reshape(1, 1, 20)).all()


@pytest.mark.parametrize("folder", sorted(path for path in RECORDINGS.iterdir() if path.is_dir()), ids=lambda p: p.name)
def test_real_recordings_hold_nothing_implausible(folder: Path) -> None:
    closed = assemble(read_recording(folder))
    assert closed.windows
    assert closed.implausible_samples == {}


# Through windows


def uploads(changes: dict[tuple[str, int], int]) -> list[Upload]:
    """A minute of a wearer in uploads of 5 s; ``changes``: (modality, second) to another value there."""
    made = wearer(11, seconds=60)
    for (name, second), value in changes.items():
        topic = ("accelerometer", "heart_rate", "steps").index(name)
        step = made.rates_hz[topic]
        made.samples[topic][-1, second * step : (second + 1) * step] = value
    return [made.upload(begin * 1_000, (begin + 5) * 1_000, seq) for seq, begin in enumerate(range(0, 60, 5))]


def fold(sent: list[Upload]) -> AssemblyResult:
    assembler, closed = Assembler(10_000, GRACE_MS), AssemblyResult()
    for index, upload in enumerate(sent):
        for topic, samples in enumerate(upload):
            closed.extend(assembler.fold(LogRecord(BASE_MS + 5_000 * index, topic, index, "u", samples)))
    closed.extend(assembler.advance(BASE_MS + 60_000 + 2 * GRACE_MS))
    return closed


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("heart_rate", 255, "range"),
        ("heart_rate", 254, "range"),
        ("heart_rate", 20, "range"),
        ("heart_rate", 200, "spike"),
        ("steps", 65_535, "jump"),
        ("steps", 2**31 - 1, "range"),
        ("steps", 9_000, "jump"),
        ("accelerometer", 8_000, "stuck"),
        ("accelerometer", 32_767, "range"),
    ],
)
def test_one_second_of_it_is_as_if_there_had_been_nothing(name: str, value: int, fault: str) -> None:
    second = 25
    nothing = {"heart_rate": 0, "steps": -1}.get(name)
    with_value = fold(uploads({(name, second): value}))
    assert {key for key, n in with_value.implausible_samples.items() if n} >= {(name, fault)}
    if nothing is None:
        return
    without = fold(uploads({(name, second): nothing}))
    found, expected = (featurise(closed.windows, MemoryBaselines()).windows for closed in (with_value, without))
    assert [record.encode() for _, record in found] == [record.encode() for _, record in expected]


@pytest.mark.parametrize(
    ("name", "value", "fault"), [("heart_rate", 200, "spike"), ("heart_rate", 255, "range"), ("steps", 9_000, "jump")]
)
@pytest.mark.parametrize("second", [24, 25, 27, 29])
def test_an_upload_that_comes_twice_hides_nothing(name: str, value: int, fault: str, second: int) -> None:
    """At its own end, too: a sample is no neighbour of its copy."""
    sent = uploads({(name, second): value})
    again = [each for upload in sent for each in (upload, upload)]
    once, twice = (fold(each) for each in (sent, again))
    assert twice.implausible_samples == once.implausible_samples == {(name, fault): 1}
    found, expected = (featurise(closed.windows, MemoryBaselines()).windows for closed in (twice, once))
    for (raw, _), (other, _) in zip(found, expected, strict=True):
        for modality in (HEART_RATE, STEPS):
            np.testing.assert_array_equal(raw.signals[modality.name].values, other.signals[modality.name].values)


def test_each_sample_counts_once_although_windows_overlap() -> None:
    closed = fold(uploads({("heart_rate", 25): 255}))
    assert closed.implausible_samples == {("heart_rate", "range"): 1}


def test_a_sensor_that_gives_nothing_else_is_a_gap_with_that_reason() -> None:
    changes = {("heart_rate", second): 255 for second in range(60)}
    closed = fold(uploads(changes))
    assert {gap.reason for gap in closed.gaps if gap.modality == "heart_rate"} == {"implausible"}
    stuck = {("accelerometer", second): 8_000 for second in range(60)}
    closed = fold(uploads(stuck))
    assert closed.windows == []
    assert {gap.reason for gap in closed.gaps if gap.modality == "accelerometer"} == {"implausible"}


def test_an_implausible_heart_rate_moves_no_baseline() -> None:
    resting = wearer(11, seconds=60, context={"activity": "resting"})
    resting.samples[1][:] = 255
    sent = [resting.upload(begin * 1_000, (begin + 5) * 1_000, seq) for seq, begin in enumerate(range(0, 60, 5))]
    baselines = MemoryBaselines()
    windows = featurise(fold(sent).windows, baselines).windows
    assert windows
    assert {record.baseline.heart_rate.state for _, record in windows} == {"default"}


def test_the_table_of_faults_is_the_codes() -> None:
    mg = np.zeros((3, 500))
    mg[0, :20], mg[1, 30] = 2_000, 20_000
    found = {
        "accelerometer": faults(ACCELEROMETER, GRID_MS, mg),
        "heart_rate": faults(HEART_RATE, SECONDS_MS, [255, 70, 120, *[70] * 17]),
        "steps": faults(STEPS, SECONDS_MS[:4], [1, 9_000, 2**31 - 1, 1]),
    }
    assert {name: set(kinds) for name, kinds in found.items()} == {name: set(kinds) for name, kinds in FAULTS.items()}


# A heart rate as watches give it


def thinned(made: SampleRecord, seq: int) -> SampleRecord:
    """One reading of an upload, as a watch that measures every 5 s sends it."""
    return SampleRecord(
        **{name: getattr(made, name) for name in made.__struct_fields__}
        | {"rate_hz": 0.2, "samples": np.array([[70 + seq % 3]], dtype="u1"), "seq": seq}
    )


def test_a_heart_rate_every_5_s_is_used_and_delays_nothing() -> None:
    sent = [
        [thinned(part, seq) if part.modality is HEART_RATE else part for part in upload]
        for seq, upload in enumerate(uploads({}))
    ]
    closed = fold(sent)
    assert [window.closed_by for window in closed.windows] == ["complete"] * 5
    assert all(window.signals["heart_rate"].passes for window in closed.windows)
    # The windows at both ends of the minute are not whole.
    inside = [gap for gap in closed.gaps if BASE_MS <= gap.start_ms <= BASE_MS + 40_000]
    assert inside == []


def test_a_heart_rate_that_comes_on_change_delays_nothing() -> None:
    sent = []
    for seq, upload in enumerate(uploads({})):
        kept = [part for part in upload if part.modality is not HEART_RATE or seq % 6 == 0]
        announced = tuple(part.modality.name for part in kept)
        sent.append(
            [SampleRecord(**{n: getattr(p, n) for n in p.__struct_fields__} | {"modalities": announced}) for p in kept]
        )
    assembler = Assembler(10_000, GRACE_MS)
    closed = AssemblyResult()
    for index, upload in enumerate(sent):
        for part in upload:
            topic = ("accelerometer", "heart_rate", "steps").index(part.modality.name)
            closed.extend(assembler.fold(LogRecord(BASE_MS + 5_000 * index, topic, index, "u", part)))
    # Nothing had to wait for the grace period.
    assert [window.closed_by for window in closed.windows] == ["complete"] * 5
