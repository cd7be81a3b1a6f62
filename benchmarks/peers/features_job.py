"""The computation of the features peers, so that they differ only in the framework.

The same windows, grid, features and output record as Gaitway's, from the same library. Simpler than Gaitway's: the
accelerometer's baseline is the median of the medians of the last hour's windows, the heart rate's is always 70 bpm.
Left out: quality checks, gaps, late samples, repeated uploads, dead letters, metrics.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from shared.contracts.modality import MODALITIES, WINDOW_MS
from shared.contracts.window import AccelerometerBaseline, Baseline, HeartRateBaseline, WindowRecord
from shared.signal.features import FEATURE_VERSION, accelerometer_features, heart_rate_features, steps_features
from shared.signal.resample import GridSignal, grid_signal, is_reading

HOP_MS = 10_000
DEFAULT_BPM = 70
GRACE_MS = 5_000
"""Grace period: a piece may be older than one of another modality by the length of an upload."""
KEPT_MEDIANS = 360
"""An hour of windows."""

Medians = list[list[float]]
"""Per window of a user, the medians of x, y, z in mg."""


def pieces(upload: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One modality of an upload, cut where a window begins: a piece lies in a window wholly or not at all."""
    step_ms = 1000.0 / upload["rate_hz"]
    t0_ms, samples = upload["t0_ms"], upload["samples"]
    begin, n = 0, len(samples[0])
    while begin < n:
        begin_ms = t0_ms + begin * step_ms
        boundary_ms = (begin_ms // HOP_MS + 1) * HOP_MS
        end = min(n, math.ceil((boundary_ms - t0_ms) / step_ms))
        yield upload | {"t0_ms": begin_ms, "samples": [channel[begin:end] for channel in samples]}
        begin = end


def end_ms(piece: dict[str, Any]) -> float:
    """End of the span that a piece's samples stand for."""
    return float(piece["t0_ms"] + len(piece["samples"][0]) * 1000.0 / piece["rate_hz"])


def window(parts: Sequence[dict[str, Any]], start_ms: int, medians: Medians) -> tuple[bytes, Medians] | None:
    """The record of one window and the user's medians after it; None where its accelerometer does not pass."""
    signals = {modality.name: _signal(modality.name, parts, start_ms) for modality in MODALITIES}
    mg = signals["accelerometer"].values
    if not signals["accelerometer"].passes:
        return None
    own = np.median(mg, axis=1)
    baseline_mg = np.rint(np.median(medians, axis=0) if medians else own)
    arrays = {
        "accelerometer": accelerometer_features(mg, baseline_mg),
        "heart_rate": heart_rate_features(signals["heart_rate"].values, np.array(DEFAULT_BPM)),
        "steps": steps_features(signals["steps"].values),
    }
    x, y, z = (int(value) for value in baseline_mg)
    record = WindowRecord(
        device=parts[0]["device"],
        window_start_ms=start_ms,
        hop_ms=HOP_MS,
        feature_version=FEATURE_VERSION,
        mask={name: signal.passes for name, signal in signals.items()},
        coverage={name: signal.coverage for name, signal in signals.items()},
        baseline=Baseline(AccelerometerBaseline("stable", (x, y, z)), HeartRateBaseline("default", DEFAULT_BPM)),
        source_received_at_ms=max(part["received_at_ms"] for part in parts),
        utc_offset_min=None,
        features={
            name: array.astype(np.float16) if signals[name].passes else np.zeros_like(array, dtype=np.float16)
            for name, array in arrays.items()
        },
    )
    return record.encode(), [*medians, own.tolist()][-KEPT_MEDIANS:]


def _signal(name: str, parts: Sequence[dict[str, Any]], start_ms: int) -> GridSignal:
    modality = next(m for m in MODALITIES if m.name == name)
    mine = sorted((part for part in parts if part["modality"] == name), key=lambda part: part["t0_ms"])
    if not mine:
        return grid_signal(modality, start_ms, np.empty(0), np.empty((modality.channels, 0)))
    t_ms = np.concatenate([p["t0_ms"] + np.arange(len(p["samples"][0])) * (1000.0 / p["rate_hz"]) for p in mine])
    samples = np.concatenate([np.array(part["samples"]) for part in mine], axis=1)
    read = is_reading(modality, samples)
    return grid_signal(modality, start_ms, t_ms[read], samples[:, read])


def slots_of(start_ms: int) -> range:
    """The hops that a window consists of."""
    return range(start_ms, start_ms + WINDOW_MS, HOP_MS)
