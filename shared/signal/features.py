"""Features of windows: Mallol-Ragolta et al. 2022, section 4.1, as one pure function (architecture.md, section 5).

f(samples, baseline) takes arrays of any length and any number of windows. Every step works along the last axis only, so
a window gives the same bits alone and in a batch.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

FEATURE_VERSION = 1
"""Increased with every change of a computed number; a model bundle names the version it was trained on."""

HEART_RATE_SCALE_BPM = 220.0
"""The paper's normalisation: the textbook maximum heart rate."""

Float32 = NDArray[np.float32]
_FLOAT16_MAX = np.float32(np.finfo(np.float16).max)


def accelerometer_features(mg: NDArray[Any], baseline_mg: NDArray[Any]) -> Float32:
    """(..., 3, t) mg, (..., 3) mg to (..., 9, t): debiased, smoothed x, y, z in g, first and second derivatives."""
    g = ((mg - baseline_mg[..., np.newaxis]) / 1000.0).astype(np.float32)
    smooth = gaussian_filter1d(g, sigma=1.0, axis=-1, mode="reflect", truncate=4.0)
    first = _backward_difference(smooth)
    return np.concatenate([smooth, first, _backward_difference(first)], axis=-2)


def heart_rate_features(bpm: NDArray[Any], baseline_bpm: NDArray[Any]) -> Float32:
    """(..., 1, t) bpm and (...,) bpm to (..., 3, t): debiased / 220, first and second derivative of the debiased."""
    debiased = (bpm - baseline_bpm[..., np.newaxis, np.newaxis]).astype(np.float32)
    first = _backward_difference(debiased)
    scaled = debiased / np.float32(HEART_RATE_SCALE_BPM)
    return np.concatenate([scaled, first, _backward_difference(first)], axis=-2)


def steps_features(total: NDArray[Any]) -> Float32:
    """(..., 1, t) steps since midnight to (..., 2, t): first, second derivative; a falling total is a reset: 0."""
    first = np.maximum(_backward_difference(np.asarray(total, dtype=np.float64)), 0.0).astype(np.float32)
    # A jump larger than float16 must not reach the network as infinity.
    features = np.concatenate([first, _backward_difference(first)], axis=-2)
    clipped: Float32 = np.clip(features, -_FLOAT16_MAX, _FLOAT16_MAX)
    return clipped


def _backward_difference(x: NDArray[Any]) -> NDArray[Any]:
    """Difference per sample; the first value is 0, as in the authors' code."""
    difference = np.zeros_like(x)
    np.subtract(x[..., 1:], x[..., :-1], out=difference[..., 1:])
    return difference
