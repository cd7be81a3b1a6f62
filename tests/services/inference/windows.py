"""Windows as features writes them, and their records."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from aiokafka import ConsumerRecord

from shared.contracts.modality import MODALITIES, MODALITY_NAMES
from shared.contracts.window import AccelerometerBaseline, Baseline, HeartRateBaseline, WindowRecord
from tests.kafka_records import consumer_record
from tests.shared.windows.signals import BASE_MS, HOP_MS

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def baseline(x_mg: int = 12, y_mg: int = -33, z_mg: int = 980) -> Baseline:
    return Baseline(AccelerometerBaseline("stable", (x_mg, y_mg, z_mg)), HeartRateBaseline("resting", 61))


def window(index: int = 0, **changes: Any) -> WindowRecord:
    """The window that starts ``index`` hops after BASE_MS."""
    rng = np.random.default_rng(index)
    fields: dict[str, Any] = {
        "device": "watch",
        "window_start_ms": BASE_MS + index * HOP_MS,
        "hop_ms": HOP_MS,
        "feature_version": 1,
        "mask": dict.fromkeys(MODALITY_NAMES, True),
        "coverage": {"accelerometer": 1.0, "heart_rate": 0.95, "steps": 1.0},
        "baseline": baseline(),
        "source_received_at_ms": BASE_MS + index * HOP_MS + 21_100,
        "utc_offset_min": 60,
        "features": {m.name: rng.normal(0, 1, m.feature_shape).astype(np.float16) for m in MODALITIES},
    }
    return WindowRecord(**fields | changes)


def altered(value: bytes, **changes: Any) -> bytes:
    """The same record with other fields on the wire."""
    return msgspec.msgpack.encode(msgspec.msgpack.decode(value) | changes)


def kafka_window(
    offset: int,
    value: bytes | None,
    key: bytes | None = b"u1",
    headers: Sequence[tuple[str, bytes | None]] = (("traceparent", TRACE.encode()),),
    *,
    partition: int = 0,
) -> ConsumerRecord:
    return consumer_record("activity.windows", partition, offset, BASE_MS, key, value, headers)
