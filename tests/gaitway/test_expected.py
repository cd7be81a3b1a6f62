"""The independent computation of the windows: on hand-made recordings, then against the pipeline's own code."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaitway.expected import expected_windows, passes, phase_ms, sent_stamps
from shared.contracts.grid import grid_phase_ms
from training.datasets.folder import read_recording
from training.offline import assemble

START_MS = 1_668_000_000_000
RECORDINGS = sorted(p.parent for p in (Path(__file__).parents[2] / "examples/recordings").glob("*/accelerometer.csv*"))


def write(folder: Path, t_ms: np.ndarray, *, zipped: bool = False) -> Path:
    text = "t_ms,x,y,z\n" + "".join(f"{float(t)!r},12,-33,980\n" for t in t_ms)
    if zipped:
        (folder / "accelerometer.csv.gz").write_bytes(gzip.compress(text.encode()))
    else:
        (folder / "accelerometer.csv").write_text(text)
    return folder


def seconds(begin_s: float, end_s: float, rate_hz: float = 25.0) -> np.ndarray:
    """Stamps in [begin, end), relative to START_MS."""
    return START_MS + begin_s * 1000 + np.arange(round((end_s - begin_s) * rate_hz)) * (1000 / rate_hz)


def found(folder: Path, t_ms: np.ndarray, hop_ms: int = 10_000) -> list[float]:
    """Seconds after START_MS at which the expected windows start."""
    return [(start - START_MS) / 1000 for start in expected_windows(write(folder, t_ms), hop_ms=hop_ms)]


def without(t_ms: np.ndarray, begin_s: float, end_s: float) -> np.ndarray:
    """All but the stamps inside (begin, end)."""
    return t_ms[(t_ms <= START_MS + begin_s * 1000) | (t_ms >= START_MS + end_s * 1000)]


def test_minute_without_gap_has_all_windows(tmp_path: Path) -> None:
    assert found(tmp_path, seconds(0, 60)) == [0, 10, 20, 30, 40]
    assert found(tmp_path, seconds(0, 60), hop_ms=20_000) == [0, 20, 40]


def test_a_user_has_windows_at_a_phase_of_its_own(tmp_path: Path) -> None:
    folder = write(tmp_path, seconds(0, 60))
    # b has the phase 6 s, u 5 s of a hop of 10 s and 15 s of one of 20 s.
    for user, hop_ms, begins in (("b", 10_000, [6, 16, 26, 36]), ("u", 20_000, [15, 35])):
        starts = expected_windows(folder, user=user, hop_ms=hop_ms)
        assert [(start - START_MS) / 1000 for start in starts] == begins


def test_plain_and_gzipped_are_the_same_and_the_shift_is_added(tmp_path: Path) -> None:
    plain = expected_windows(write(tmp_path, seconds(0, 40)))
    (tmp_path / "accelerometer.csv").unlink()
    packed = write(tmp_path, seconds(0, 40), zipped=True)
    assert expected_windows(packed) == plain
    assert expected_windows(packed, shift_ms=40_000) == [start + 40_000 for start in plain]


@pytest.mark.parametrize(
    ("gap_s", "windows"),
    [
        ((15.0, 16.0), [0, 10, 20]),  # exactly 1 s
        ((15.0, 16.04), [20]),  # longer: both windows that see it fail
        ((19.0, 21.0), [0, 20]),  # an edge cuts it into 1 s in [0, 20) and 1 s in [20, 40), but [10, 30) sees 2 s
        ((19.0, 21.04), [0]),
    ],
)
def test_gap_excludes_the_windows_that_it_touches(
    tmp_path: Path, gap_s: tuple[float, float], windows: list[int]
) -> None:
    assert found(tmp_path, without(seconds(0, 40), *gap_s)) == windows


def test_coverage_needs_nine_tenths(tmp_path: Path) -> None:
    """Gaps of 1 s leave 24 grid points without neighbours: two of them are 48 of 500."""
    two = without(without(seconds(0, 20), 4, 5), 8, 9)
    assert found(tmp_path, two) == [0]
    # 280 ms between neighbours are 6 points more: 54 of 500 are too many.
    assert found(tmp_path, without(two, 12, 12.28)) == []
    # 240 ms between neighbours are no gap at all.
    assert found(tmp_path, without(two, 12, 12.24)) == [0]


def test_the_margin_of_a_window_counts_up_to_its_only_neighbour(tmp_path: Path) -> None:
    assert found(tmp_path, seconds(1.0, 20)) == [0]
    assert found(tmp_path, seconds(1.04, 20.0)) == []
    assert found(tmp_path, seconds(0, 19.04)) == [0]  # the last sample at 19.00
    assert found(tmp_path, seconds(0, 19.0)) == []  # the last sample at 18.96


def test_what_a_watch_sends_of_a_recording() -> None:
    uneven = START_MS + np.array([3.0, 50.0, 130.0, 170.0, 201.0])
    np.testing.assert_array_equal(sent_stamps(uneven) - START_MS, [40, 80, 120, 160, 200])
    even = seconds(0.003, 1, rate_hz=32)
    np.testing.assert_array_equal(sent_stamps(even), even)
    begins_between_ms = even + 0.25
    assert np.all(sent_stamps(begins_between_ms) % 40 == 0)
    lone = np.array([START_MS, START_MS + 251, START_MS + 291])
    np.testing.assert_array_equal(sent_stamps(lone), lone[1:])
    too_slow = seconds(0, 2, rate_hz=5)
    np.testing.assert_array_equal(sent_stamps(too_slow), seconds(0, 1.84))


def test_neighbours_are_250_ms_apart_at_most() -> None:
    assert passes(START_MS + np.arange(0, 20_000, 250.0), START_MS)
    assert not passes(START_MS + np.arange(0, 20_000, 251.0), START_MS)
    together = START_MS + np.array([0.0, 250.0])
    np.testing.assert_array_equal(sent_stamps(together) - START_MS, np.arange(0, 250, 40))
    assert len(sent_stamps(START_MS + np.array([0.0, 251.0]))) == 0


def test_rows_out_of_order_and_repeated(tmp_path: Path) -> None:
    stamps = seconds(0, 40)
    assert found(tmp_path, np.concatenate([stamps[500:], stamps[:500], stamps[:100]])) == [0, 10, 20]


def test_a_recording_without_accelerometer(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"accelerometer\.csv"):
        expected_windows(tmp_path)


@pytest.mark.parametrize(("hop_ms", "user"), [(10_000, None), (20_000, None), (10_000, "b"), (20_000, "u")])
@pytest.mark.parametrize("folder", RECORDINGS, ids=lambda folder: folder.name)
def test_the_pipeline_yields_exactly_these(folder: Path, hop_ms: int, user: str | None) -> None:
    closed = assemble(read_recording(folder), hop_ms=hop_ms, user=user)
    starts = [window.window_start_ms for window in closed.windows]
    assert sorted(starts) == expected_windows(folder, hop_ms=hop_ms, user=user)


@given(st.text(min_size=1, max_size=64), st.sampled_from([10_000, 20_000]))
def test_the_phase_is_that_of_the_pipeline(user: str, hop_ms: int) -> None:
    assert phase_ms(user, hop_ms) == grid_phase_ms(user, hop_ms)


def test_example_recordings_are_found() -> None:
    assert len(RECORDINGS) >= 8
