"""The three modalities as data: one table holds all differences between them."""

from dataclasses import dataclass

import numpy as np

from shared.contracts.time_limits import DAY_MS, HOUR_MS

WINDOW_MS = 20_000
"""Length of a window; Mallol-Ragolta et al. 2022, section 4.1."""


@dataclass(frozen=True, slots=True)
class Modality:
    """One modality of a watch.

    ``max_step_ms`` is the largest distance of two neighbouring samples that is interpolated; more is a gap. A window's
    modality passes with ``min_coverage`` and no gap over ``max_dropout_ms``. ``is_continuous``: the sensor samples
    without pause, so a gap between uploads means that an upload has not arrived.
    """

    name: str
    channels: int
    dtype: np.dtype[np.generic]
    rate_hz: int
    upload_rate_hz: tuple[float, float]
    max_step_ms: float
    min_coverage: float
    max_dropout_ms: float
    feature_channels: int
    is_continuous: bool

    @property
    def grid_n(self) -> int:
        """Number of grid points of one window."""
        return WINDOW_MS * self.rate_hz // 1000

    @property
    def feature_shape(self) -> tuple[int, int]:
        """Shape (channels, time) of the modality's features."""
        return (self.feature_channels, self.grid_n)


# Accelerometers of watches have 10 to 100 Hz; 200 leaves room. Steps below 0.4 Hz would be all gaps. An Apple Watch
# sends a heart rate every 5 s (9 s at the 95th percentile), others only on change: a reading holds for 10 s.
ACCELEROMETER = Modality("accelerometer", 3, np.dtype("<i2"), 25, (10.0, 200.0), 250.0, 0.9, 1_000.0, 9, True)
HEART_RATE = Modality("heart_rate", 1, np.dtype("u1"), 1, (0.1, 5.0), 10_000.0, 0.5, 10_000.0, 3, False)
STEPS = Modality("steps", 1, np.dtype("<i4"), 1, (0.4, 5.0), 2_500.0, 0.5, float(WINDOW_MS), 2, True)

MODALITIES = (ACCELEROMETER, HEART_RATE, STEPS)
"""Their order breaks ties in the merged log."""

MODALITY_BY_NAME = {modality.name: modality for modality in MODALITIES}
MODALITY_NAMES = tuple(MODALITY_BY_NAME)

NO_READING = {"heart_rate": 0, "steps": -1}
"""The value of a record where the watch sent null."""


def max_span_ms(rate_hz: float) -> int:
    """Return the longest span of one modality in one upload: a day at 1 Hz and more, an hour below.

    The cost of an upload grows with the windows that it spans, so its samples must limit their number.
    """
    return DAY_MS if rate_hz >= 1 else HOUR_MS
