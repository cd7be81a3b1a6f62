"""Samples as they are stored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.quantise import accelerometer_mg, heart_rate_bpm, steps_total


def test_half_goes_to_even() -> None:
    np.testing.assert_array_equal(accelerometer_mg([0.5, 1.5, 2.5, -0.5, -1.5, 2.51], "mg"), [0, 2, 2, 0, -2, 3])
    np.testing.assert_array_equal(heart_rate_bpm([60.5, 61.5, 61.6]), [60, 62, 62])


@pytest.mark.parametrize(("unit", "one_g"), [("mg", 1000.0), ("g", 1.0), ("m/s2", 9.80665)])
def test_units_are_converted(unit: str, one_g: float) -> None:
    stored = accelerometer_mg([[one_g, -one_g, 0.0], [2 * one_g, one_g / 4, one_g / 1000]], unit)
    np.testing.assert_array_equal(stored, [[1000, -1000, 0], [2000, 250, 1]])
    assert stored.dtype == np.dtype("<i2")


def test_null_is_no_reading() -> None:
    bpm, total = heart_rate_bpm([None, 72, 255]), steps_total([None, 0, 2**31 - 1])
    np.testing.assert_array_equal(bpm, [0, 72, 255])
    np.testing.assert_array_equal(total, [-1, 0, 2**31 - 1])
    assert (bpm.dtype, total.dtype) == (np.dtype("u1"), np.dtype("<i4"))


@settings(max_examples=50)
@given(st.lists(st.integers(-32_767, 32_767), min_size=1))
def test_whole_mg_are_kept(values: list[int]) -> None:
    assert accelerometer_mg(values, "mg").tolist() == values
    assert accelerometer_mg([value / 1000 for value in values], "g").tolist() == values
