"""The inference service as tutorials have it: an aiokafka consumer, the trained network in torch, an aiokafka producer.

PEER_BATCH=1 is the loop of aiokafka.readthedocs.io/en/stable/consumer.html: ``getone``, one window through the network,
``json.dumps``, ``send``. A larger one is "Getting messages in batches" of the same page: ``getmany``, as many windows
through the network at once. Offsets are committed automatically and acks=1, both defaults. The event is Gaitway's:
CloudEvents in Kafka's binary mode, the same data; its id is random. Left out: transactions, the ledger and with them
exactly once, dead letters, metrics, health, abstention, the model off the event loop.

    python -m benchmarks.peers.plain_inference    (environment: PlainSettings)
"""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Self

import torch
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from benchmarks.peers.eager_network import EagerNetwork
from gaitway.paths import DEFAULT_MODEL
from shared.contracts.event import SOURCE, TYPE
from shared.contracts.labels import HAR2, MOVEMENT, OTHER
from shared.contracts.modality import WINDOW_MS
from shared.contracts.window import WindowRecord, decode_window
from shared.runtime.clock import system_clock

READY_LINE = "waiting for windows"
PREFIX = "PEER_"


@dataclass(frozen=True, slots=True)
class PlainSettings:
    """The variable of a field is PEER_ and its name in capitals; ``batch``: windows in the network at once."""

    kafka: str
    input: str
    output: str
    group: str
    batch: str

    @classmethod
    def read(cls) -> Self:
        """Settings from the environment; KeyError names a missing variable."""
        return cls(**{field.name: os.environ[PREFIX + field.name.upper()] for field in fields(cls)})

    def environment(self) -> dict[str, str]:
        """The variables of a process that is to read these settings."""
        return {PREFIX + field.name.upper(): getattr(self, field.name) for field in fields(self)}


async def serve(settings: PlainSettings) -> None:
    """Classify until the process is ended."""
    model = EagerNetwork(DEFAULT_MODEL)
    consumer = AIOKafkaConsumer(
        settings.input, bootstrap_servers=settings.kafka, group_id=settings.group, auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    async with consumer, producer:
        print(READY_LINE, flush=True)
        async for records in _batches(consumer, int(settings.batch)):
            windows = [decode_window(record.value) for record in records]
            rows = model.predict(windows).tolist()
            for record, window, row in zip(records, windows, rows, strict=True):
                value = _event(record.key.decode(), window, model, row)
                headers = _headers(record)
                await producer.send(settings.output, json.dumps(value).encode(), key=record.key, headers=headers)


async def _batches(consumer: AIOKafkaConsumer, size: int) -> AsyncIterator[Sequence[ConsumerRecord]]:
    while True:
        if size == 1:
            yield [await consumer.getone()]
        else:
            polled = await consumer.getmany(timeout_ms=200, max_records=size)
            if records := [record for of_partition in polled.values() for record in of_partition]:
                yield records


def _headers(record: ConsumerRecord) -> list[tuple[str, bytes]]:
    attributes = {
        "id": uuid.uuid4().hex,
        "source": SOURCE,
        "type": TYPE,
        "specversion": "1.0",
        "subject": record.key.decode(),
        "time": datetime.now(UTC).isoformat(),
    }
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    return [*headers, ("content-type", b"application/json"), *record.headers]


def _event(user: str, window: WindowRecord, model: EagerNetwork, row: list[float]) -> dict[str, object]:
    manifest = model.manifest
    probabilities = dict(zip(manifest.classes, row, strict=True))
    activity = max(probabilities, key=probabilities.__getitem__)
    movement: dict[str, float] = dict.fromkeys(HAR2, 0.0)
    for name, probability in probabilities.items():
        kind = MOVEMENT.get(name, OTHER)
        movement[kind] = movement.get(kind, 0.0) + probability
    accelerometer, heart_rate = window.baseline.accelerometer, window.baseline.heart_rate
    return {
        "user": user,
        "device": window.device,
        "window_start_ms": window.window_start_ms,
        "window_end_ms": window.window_start_ms + WINDOW_MS,
        "utc_offset_min": window.utc_offset_min,
        "activity": activity,
        "confidence": probabilities[activity],
        "label_set": manifest.label_set,
        "probabilities": probabilities,
        "movement": movement,
        "modalities": [name for name, present in window.mask.items() if present],
        "coverage": window.coverage,
        "baseline": {
            "accelerometer": {"state": accelerometer.state, "mg": accelerometer.mg},
            "heart_rate": {"state": heart_rate.state, "bpm": heart_rate.bpm},
        },
        "model": f"{manifest.name}@{manifest.version}",
        "hop_ms": window.hop_ms,
        "source_received_at_ms": window.source_received_at_ms,
        "published_at_ms": system_clock(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    asyncio.run(serve(PlainSettings.read()))
