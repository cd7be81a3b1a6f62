"""The one real log with all three modalities: its windows and gaps are checked in.

tests/data/garmin-1.json was made by the offline path and then held against the CSV files by hand: the gap of 550.6 s
and the one of 1.4 s, heart rate that stays away for 50.9 s and often for 3 to 5, a step counter that speaks on change
only, eleven times in sixteen minutes. What follows repeats that by hand from the raw rows, by other means.
"""

import csv
import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gaitway.expected import expected_windows
from shared.contracts.modality import MODALITY_NAMES
from tests.recordings import EXAMPLES
from training.datasets import read_recording
from training.offline import assemble

GARMIN = EXAMPLES / "garmin-1"
CHECKED_IN = json.loads((Path(__file__).parents[1] / "data" / "garmin-1.json").read_text())
STARTS = [window["window_start_ms"] for window in CHECKED_IN["windows"]]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    closed = assemble(read_recording(GARMIN))
    return {
        "windows": [
            {
                "window_start_ms": window.window_start_ms,
                "mask": {name: bool(window.signals[name].passes) for name in MODALITY_NAMES},
                "coverage": {name: round(float(window.signals[name].coverage), 6) for name in MODALITY_NAMES},
            }
            for window in sorted(closed.windows, key=lambda window: window.window_start_ms)
        ],
        "gaps": sorted(
            (
                {"modality": gap.modality, "start_ms": gap.start_ms, "end_ms": gap.end_ms, "reason": gap.reason}
                for gap in closed.gaps
            ),
            key=lambda gap: (gap["start_ms"], MODALITY_NAMES.index(gap["modality"])),
        ),
    }


def rows(name: str) -> list[dict[str, int]]:
    path = GARMIN / name
    with path.open() if path.exists() else gzip.open(path.with_name(f"{name}.gz"), "rt") as file:
        return [{column: int(cell) for column, cell in row.items()} for row in csv.DictReader(file)]


def silences(t_ms: list[int], start_ms: int) -> list[int]:
    """Distances of the readings in a window, its margins included."""
    inside = [t for t in t_ms if start_ms <= t < start_ms + 20_000]
    return [b - a for a, b in zip([start_ms, *inside], [*inside, start_ms + 20_000], strict=True)]


def test_windows_and_gaps_are_those_that_were_checked(found: dict[str, Any]) -> None:
    assert found == CHECKED_IN


def test_the_contract_alone_gives_the_same_windows() -> None:
    assert expected_windows(GARMIN) == STARTS


def test_a_window_is_there_where_the_accelerometer_is_never_silent_for_a_second() -> None:
    t_ms = sorted({row["t_ms"] for row in rows("accelerometer.csv")})
    slots = range(t_ms[0] // 10_000 * 10_000 - 10_000, t_ms[-1], 10_000)
    assert [start for start in slots if max(silences(t_ms, start)) <= 1_000] == STARTS


def test_the_long_gap_is_one_record_and_its_margins_fail_for_coverage() -> None:
    t_ms = sorted({row["t_ms"] for row in rows("accelerometer.csv")})
    length_ms, begin_ms = max((b - a, a) for a, b in pairwise(t_ms))
    assert length_ms == 550_642
    accelerometer = [gap for gap in CHECKED_IN["gaps"] if gap["modality"] == "accelerometer"]
    (gap,) = [gap for gap in accelerometer if gap["end_ms"] - gap["start_ms"] > 20_000]
    # The whole slots of the grid in which there is nothing: their neighbours hold samples, and are gaps of their own.
    assert (gap["start_ms"], gap["end_ms"]) == (
        begin_ms // 10_000 * 10_000 + 20_000,
        (begin_ms + length_ms) // 10_000 * 10_000 - 10_000,
    )
    assert gap["reason"] == "not_sent"


def test_heart_rate_is_masked_where_it_stays_away() -> None:
    t_ms = [row["t_ms"] for row in rows("heart_rate.csv") if row["bpm"] > 0]
    for window in CHECKED_IN["windows"]:
        longest_ms = max(silences(t_ms, window["window_start_ms"]))
        if window["mask"]["heart_rate"]:
            # A watch sends the latest reading of each second: up to a second is lost in that.
            assert longest_ms < 11_000
        elif window["coverage"]["heart_rate"] >= 0.5:
            assert longest_ms > 10_000
        else:
            assert sum(step_ms for step_ms in silences(t_ms, window["window_start_ms"]) if step_ms > 9_000) > 10_000


def test_steps_pass_everywhere_though_the_counter_speaks_on_change_only() -> None:
    assert len(rows("steps.csv")) == 11
    assert all(window["mask"]["steps"] for window in CHECKED_IN["windows"])
    assert all(window["coverage"]["steps"] == 1.0 for window in CHECKED_IN["windows"])
