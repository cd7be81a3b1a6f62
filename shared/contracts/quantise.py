"""Quantisation of samples: done once, at ingest, and in the same way in `predict` and in training."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared.contracts.modality import NO_READING

STANDARD_GRAVITY = 9.80665
"""m/s2 per g, exact by definition (CGPM 1901)."""

MG_PER_UNIT = {"mg": 1.0, "g": 1000.0, "m/s2": 1000.0 / STANDARD_GRAVITY}


def accelerometer_mg(values: ArrayLike, unit: str) -> NDArray[np.int16]:
    """Acceleration in ``unit`` as int16 mg, rounded half to even; the caller has checked the range."""
    mg = np.asarray(values, dtype=np.float64)
    if unit != "mg":
        mg = mg * MG_PER_UNIT[unit]
    return np.rint(mg).astype("<i2")


def heart_rate_bpm(values: list[float | None]) -> NDArray[np.uint8]:
    """Heart rate as uint8 bpm, rounded half to even; None becomes 0, no reading."""
    no_reading = NO_READING["heart_rate"]
    filled = np.array([no_reading if value is None else value for value in values], dtype=np.float64)
    return np.rint(filled).astype("u1")


def steps_total(values: list[int | None]) -> NDArray[np.int32]:
    """Steps since midnight as int32; None becomes -1, no reading."""
    no_reading = NO_READING["steps"]
    return np.array([no_reading if value is None else value for value in values], dtype="<i4")
