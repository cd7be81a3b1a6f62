"""The log that every contestant of the inference stage reads: windows of real recordings, spread over many users."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from aiokafka import AIOKafkaProducer, ConsumerRecord
from numpy.typing import NDArray

from benchmarks.bus import PARTITIONS
from benchmarks.features_topics import BATCH_BYTES
from gaitway.paths import RECORDINGS
from shared.contracts.topics import EVENTS, WINDOWS
from shared.contracts.users import partition_of
from shared.contracts.window import WindowRecord
from shared.kafka.admin import ensure_topics
from shared.model.bundle import LoadedModel
from training.datasets import find_sources
from training.offline import HOP_MS, offline_windows

TOLERANCE = 1e-4
"""Tolerance of a probability: float32 with another order of operations."""
_RECEIVED_AFTER_MS = 21_000
_HEADERS = [("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]


class InferenceDiffers(Exception):
    """An event of a contestant is missing, duplicated or different."""


def read_recorded_windows() -> list[WindowRecord]:
    """Compute every window of the example recordings with the offline pipeline."""
    sources = find_sources(f"recordings={RECORDINGS}")
    return [window.record for source in sources for window in offline_windows([source.read()])]


def probabilities(model: LoadedModel, windows: Sequence[WindowRecord]) -> NDArray[np.float64]:
    """(n, classes), computed as in the inference service."""
    return model.probabilities(
        [window.features for window in windows],
        [window.mask for window in windows],
        [window.baseline.accelerometer.mg for window in windows],
    )


@dataclass(frozen=True, slots=True, eq=False)
class WindowsLog:
    """``count`` windows of all ``users``, hop by hop; each user starts at another one of the recorded windows.

    ``recorded`` with the model's probabilities, (n, classes); the first hop begins at ``begin_ms``.
    """

    recorded: list[WindowRecord]
    probabilities: NDArray[np.float64]
    users: int
    count: int
    begin_ms: int

    @classmethod
    def of(cls, recorded: list[WindowRecord], model: LoadedModel, users: int, count: int, now_ms: int) -> "WindowsLog":
        """A log that ends at ``now_ms``."""
        hops = -(-count // users)
        begin_ms = (now_ms // HOP_MS - hops - _RECEIVED_AFTER_MS // HOP_MS) * HOP_MS
        return cls(recorded, probabilities(model, recorded), users, count, begin_ms)

    def first(self, count: int) -> "WindowsLog":
        """The log's first ``count`` windows."""
        return replace(self, count=count)

    def windows(self) -> Iterator[tuple[str, WindowRecord, int]]:
        """User, window and number of the recorded window, in the order of the log."""
        for number in range(self.count):
            hop, user = divmod(number, self.users)
            which = (user + hop) % len(self.recorded)
            start_ms = self.begin_ms + hop * HOP_MS
            yield (
                f"user-{user}",
                replace(
                    self.recorded[which],
                    window_start_ms=start_ms,
                    source_received_at_ms=start_ms + _RECEIVED_AFTER_MS,
                ),
                which,
            )

    def check(self, events: Sequence[ConsumerRecord], classes: Sequence[str]) -> None:
        """Raise InferenceDiffers unless there is one event of each window, with the model's own probabilities."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for record in events:
            event = json.loads(record.value)
            found[event["user"], event["window_start_ms"]] = event
        identities = {value for record in events for name, value in record.headers if name == "ce_id"}
        if not len(events) == len(found) == len(identities) == self.count:
            raise InferenceDiffers(
                f"{len(events)} events of {len(found)} windows with {len(identities)} ids for {self.count} windows"
            )
        for user, window, which in self.windows():
            if (event := found.get((user, window.window_start_ms))) is None:
                raise InferenceDiffers(f"no event for {user} at {window.window_start_ms}")
            said = np.array([event["probabilities"][name] for name in classes])
            if not np.allclose(said, self.probabilities[which], rtol=0, atol=TOLERANCE):
                raise InferenceDiffers(f"{user} at {window.window_start_ms}: {said}, not {self.probabilities[which]}")


async def write_windows(kafka: str, prefix: str, log: WindowsLog) -> None:
    """Fill activity.windows of a prefix, as features would have."""
    await ensure_topics(kafka, prefix, PARTITIONS, 1, (WINDOWS, EVENTS))
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", max_batch_size=BATCH_BYTES, linger_ms=5)
    await producer.start()
    try:
        windows = log.windows()
        while part := list(islice(windows, 1000)):
            sent = [
                await producer.send(
                    prefix + WINDOWS.name,
                    window.encode(),
                    key=user.encode(),
                    partition=partition_of(user, PARTITIONS),
                    headers=_HEADERS,
                )
                for user, window, _ in part
            ]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()
