"""Check that every window has exactly one event, by reading activity.events while the fleet sends."""

import asyncio
from array import array
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer

from gaitway.events import TOPIC, check_topic
from gaitway.load.fleet import Fleet
from gaitway.load.templates import PERIOD_MS
from shared.contracts.modality import WINDOW_MS
from shared.runtime.clock import system_clock

_POLL_MS = 200


class _Data(msgspec.Struct):
    """The checked part of an event's data; the rest of the JSON is skipped, not built."""

    user: str
    window_start_ms: int
    hop_ms: int
    source_received_at_ms: int
    published_at_ms: int


_decoder = msgspec.json.Decoder(_Data)


@dataclass(slots=True, eq=False)
class ReceivedEvents:
    """Events so far, with three values for each window that the stream fills.

    ``latency_ms``: from the gateway's receipt of the last sample until this process read the event; ``classified_ms``:
    from that receipt to the model's answer; ``read_ms``: time of reading since the fleet's start.
    """

    counts: list[dict[int, int]]
    latency_ms: "array[float]" = field(default_factory=lambda: array("d"))
    classified_ms: "array[float]" = field(default_factory=lambda: array("d"))
    read_ms: "array[float]" = field(default_factory=lambda: array("d"))
    foreign: int = 0
    hop_ms: int = 0

    @property
    def events(self) -> int:
        """Events without those of windows that began before their stream."""
        return len(self.read_ms)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``partial``: events of windows that the start or the end of a stream cuts; they are optional."""

    expected: int
    missing: int
    twice: int
    partial: int
    unexpected: int


class EventCheck:
    """Collects the events of one fleet; ``run`` returns only by cancellation."""

    def __init__(self, fleet: Fleet, kafka: str, topic_prefix: str) -> None:
        self._fleet = fleet
        self._kafka = kafka
        self._topic = topic_prefix + TOPIC
        self._number = {user: number for number, user in enumerate(fleet.users)}
        self._begin_ms = [fleet.end_ms(watch, 0) - PERIOD_MS for watch in range(len(fleet))]
        self.seen = ReceivedEvents([{} for _ in fleet.users])

    async def run(self, ready: asyncio.Event) -> None:
        """Read new events; ``ready`` is set once none can be missed. Raises EventsError, KafkaError."""
        await check_topic(self._kafka, self._topic)
        consumer = AIOKafkaConsumer(
            self._topic,
            bootstrap_servers=self._kafka,
            isolation_level="read_committed",
            enable_auto_commit=False,
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        await consumer.start()
        try:
            for tp, offset in (await consumer.end_offsets(consumer.assignment())).items():
                consumer.seek(tp, offset)
            ready.set()
            while True:
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    self._take(records)
        finally:
            await consumer.stop()

    def _take(self, records: list[Any]) -> None:
        now_ms, seen = system_clock(), self.seen
        for record in records:
            data = _decoder.decode(record.value)
            watch = self._number.get(data.user)
            if watch is None:
                seen.foreign += 1
                continue
            counts = seen.counts[watch]
            counts[data.window_start_ms] = counts.get(data.window_start_ms, 0) + 1
            seen.hop_ms = data.hop_ms
            if data.window_start_ms < self._begin_ms[watch]:
                continue  # Cut by the start of the stream: it closes when its grace period ends, a minute later.
            seen.latency_ms.append(now_ms - data.source_received_at_ms)
            seen.classified_ms.append(data.published_at_ms - data.source_received_at_ms)
            seen.read_ms.append(now_ms - self._fleet.begin_ms)

    def verdict(self, steps: int) -> Verdict:
        """Compare with the windows that ``steps`` uploads of every watch fill."""
        missing = twice = partial = unexpected = expected = 0
        # The hop is in the events. Without events all windows are missing, whatever the hop.
        hop_ms = self.seen.hop_ms or WINDOW_MS // 2
        for watch, counts in enumerate(self.seen.counts):
            wanted = self._fleet.expected(watch, steps, hop_ms)
            expected += len(wanted)
            missing += sum(start not in counts for start in wanted)
            twice += sum(count - 1 for count in counts.values())
            others = [start for start in counts if start not in wanted]
            near = [start for start in others if wanted.start - WINDOW_MS < start < wanted.stop + WINDOW_MS]
            partial += len(near)
            unexpected += len(others) - len(near)
        return Verdict(expected, missing, twice, partial, unexpected)
