"""Hand-crafted features of a window, for classic models: statistics, posture, rhythm, heart rate and steps."""

import numpy as np
from numpy.typing import NDArray

from shared.contracts.modality import ACCELEROMETER, MODALITY_NAMES, WINDOW_MS
from shared.signal.features import HEART_RATE_SCALE_BPM
from training.samples import Samples

Float32 = NDArray[np.float32]

PERCENTILES = (5, 25, 50, 75, 95)
BANDS_FROM_HZ = (0.15, 0.4, 0.7, 1.0, 1.3, 1.6, 2.0, 2.4, 2.8, 3.3, 4.0, 5.0, 6.5, 8.5)
"""Lower edges of the bands, narrow where walking, stairs and pedalling lie; the last band is open."""
STRIDE_S = (0.24, 2.0)
"""Shortest and longest period: steps of a sprint, slow pedalling."""
CHUNK = 1024
"""Windows at a time: limits memory, and fits the cache."""
_EPSILON = 1e-6


def window_features(samples: Samples) -> Float32:
    """(n, F) features; zeros for those of a masked heart rate or step count.

    The first columns, ``_signed``, are the only ones that change with the sign of an axis: see ``mirror_features``.
    """
    if not len(samples):
        raise ValueError("no windows to compute features of")
    g = raw_g(samples)
    parts = [_acceleration(g[start : start + CHUNK]) for start in range(0, len(g), CHUNK)]
    return np.concatenate([np.concatenate(parts), _heart_rate(samples), _steps(samples)], axis=1)


def raw_g(samples: Samples) -> Float32:
    """(n, 3, time) smoothed acceleration with gravity, in g: the baseline is added back."""
    baseline_g = (samples.baseline_mg / 1000.0).astype(np.float32)
    return samples.features[ACCELEROMETER.name][:, :3].astype(np.float32) + baseline_g[:, :, None]


def mirror_features(features: Float32, x: int, y: int) -> Float32:
    """The features of the same windows with the signs of x and y multiplied by ``x`` and ``y`` (1 or -1)."""
    sign = np.array([x, y, 1], dtype=np.float32)
    width = 3 + 3 * len(PERCENTILES)
    out = features.copy()
    out[:, :3] *= sign
    percentiles = features[:, 3:width].reshape(len(features), 3, -1)
    turned = np.where(sign[:, None] < 0, -percentiles[:, :, ::-1], percentiles)
    out[:, 3:width] = turned.reshape(len(features), -1)
    out[:, width : width + 3] *= np.array([x * y, x, y], dtype=np.float32)
    return out


def _acceleration(g: Float32) -> Float32:
    """(n, 3, time) to (n, F)."""
    mean = g.mean(axis=2)
    gravity = np.linalg.norm(mean, axis=1, keepdims=True)  # (n, 1)
    up = mean / (gravity + _EPSILON)
    moving = g - mean[:, :, None]
    vertical = np.einsum("nct,nc->nt", moving, up)
    horizontal = np.linalg.norm(moving - vertical[:, None] * up[:, :, None], axis=1)
    length = np.linalg.norm(g, axis=1)
    covariance = moving @ moving.transpose(0, 2, 1) / g.shape[2]  # (n, 3, 3)
    spread, axes = np.linalg.eigh(covariance)
    main = axes[:, :, 2]  # The axis along which the wrist moves most.
    along_main = np.einsum("nct,nc->nt", moving, main)
    groups = [
        *_signed(g, mean, covariance),
        *_axes(g),
        *_length(length),
        *_vertical(vertical, horizontal),
        gravity,
        np.log(spread.clip(0) + 1e-8),
        np.abs((main * up).sum(axis=1, keepdims=True)),
        *_rhythm(length - length.mean(axis=1, keepdims=True)),
        *_rhythm(vertical),
        *_rhythm(along_main),
    ]
    return np.concatenate(groups, axis=1).astype(np.float32)


def _signed(g: Float32, mean: Float32, covariance: Float32) -> list[Float32]:
    """Posture and coupling, by axis: what depends on how the watch is worn."""
    percentiles = np.percentile(g, PERCENTILES, axis=2).transpose(1, 2, 0)  # (n, 3, 5)
    sd = g.std(axis=2)
    first, second = [0, 0, 1], [1, 2, 2]
    correlation = covariance[:, first, second] / (sd[:, first] * sd[:, second] + _EPSILON)
    return [mean, percentiles.reshape(len(g), -1), correlation]


def _axes(g: Float32) -> list[Float32]:
    """Spread per axis: of all samples, of their middle half, from sample to sample, from second to second."""
    quarters = np.percentile(g, [25, 75], axis=2)
    return [g.std(axis=2), quarters[1] - quarters[0], np.diff(g, axis=2).std(axis=2), _seconds(g).mean(3).std(2)]


def _length(length: Float32) -> list[Float32]:
    """Of the acceleration's length, (n, time)."""
    still = _seconds(length).std(axis=2)
    percentiles = np.percentile(length, [1, *PERCENTILES, 99], axis=1).T
    values = [length.mean(1), length.std(1), np.diff(length, axis=1).std(1)]
    return [np.stack([*values, still.min(1), np.median(still, axis=1), still.max(1)], axis=1), percentiles]


def _vertical(vertical: Float32, horizontal: Float32) -> list[Float32]:
    """Of the movement along and across the window's own gravity, (n, time) each."""
    skewness = (vertical**3).mean(axis=1) / (vertical.std(axis=1) ** 3 + _EPSILON)
    values = [vertical.std(1), np.diff(vertical, axis=1).std(1), skewness, horizontal.mean(1), horizontal.std(1)]
    return [np.stack(values, axis=1)]


def _rhythm(signal: Float32) -> list[Float32]:
    """Spectrum and autocorrelation of (n, time) without its mean."""
    n, rate_hz = signal.shape[1], ACCELEROMETER.rate_hz
    power = np.abs(np.fft.rfft(signal * np.hanning(n), axis=1))[:, 1:] ** 2
    hz = np.fft.rfftfreq(n, 1 / rate_hz)[1:]
    total = power.sum(axis=1, keepdims=True) + 1e-9
    share = power / total
    peak = share.argmax(axis=1)
    bands = np.add.reduceat(share, np.searchsorted(hz, BANDS_FROM_HZ), axis=1)
    entropy = -(share * np.log(share + 1e-12)).sum(axis=1, keepdims=True)
    # Padded to twice the length, so that the end is not compared with the beginning.
    correlation = np.fft.irfft(np.abs(np.fft.rfft(signal, 2 * n, axis=1)) ** 2, axis=1)
    first, last = (round(seconds * rate_hz) for seconds in STRIDE_S)
    lags = correlation[:, first:last] / (correlation[:, :1] + 1e-9)
    return [
        np.stack([hz[peak], share.max(axis=1), lags.max(axis=1), first + lags.argmax(axis=1)], axis=1),
        np.log(total),
        np.log(bands + _EPSILON),
        entropy,
    ]


def _seconds(signal: Float32) -> Float32:
    """(..., time) to (..., seconds, rate)."""
    return signal.reshape(*signal.shape[:-1], -1, ACCELEROMETER.rate_hz)


def _heart_rate(samples: Samples) -> Float32:
    """(n, 3): whether there is one, its mean above the baseline in bpm, its slope in bpm per second."""
    there = samples.mask[:, MODALITY_NAMES.index("heart_rate")]
    bpm = samples.features["heart_rate"][:, 0].astype(np.float32) * np.float32(HEART_RATE_SCALE_BPM)
    seconds = np.linspace(0, WINDOW_MS / 1000, bpm.shape[1], endpoint=False, dtype=np.float32)
    seconds -= seconds.mean()
    values = np.stack([bpm.mean(axis=1), bpm @ seconds / (seconds @ seconds)], axis=1)
    return _flagged(there, values)


def _steps(samples: Samples) -> Float32:
    """(n, 2): whether they are counted, steps in the window."""
    there = samples.mask[:, MODALITY_NAMES.index("steps")]
    return _flagged(there, samples.features["steps"][:, :1].astype(np.float32).sum(axis=2))


def _flagged(there: NDArray[np.bool_], values: Float32) -> Float32:
    return np.column_stack([there, np.where(there[:, None], values, 0.0)]).astype(np.float32)
