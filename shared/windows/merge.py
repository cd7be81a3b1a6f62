"""One total order over the three watch topics of a partition (architecture.md, section 4)."""

from collections import deque
from operator import attrgetter

import msgspec

from shared.contracts.modality import MODALITIES
from shared.contracts.samples import SampleRecord

TOPICS = range(len(MODALITIES))


class LogRecord(msgspec.Struct, frozen=True, eq=False):
    """One record of the merged log: its place (``log_ms``, ``topic``, ``offset``) and its content.

    ``topic`` is the index in MODALITIES. ``samples`` is None for a tick and for a record that cannot be decoded: both
    only advance the log time.
    """

    log_ms: int
    topic: int
    offset: int
    user: str = ""
    samples: SampleRecord | None = None
    traceparent: str | None = None


class Merge:
    """Sorts by (record timestamp, topic, offset), from the log alone.

    A record is released once each of the other two topics has delivered a record that proves that no earlier one can
    follow. If the broker's clock steps back, a record gets the log time of its predecessor in the topic, so the order
    within a topic is always that of its offsets. ``floors_ms`` keeps that across a restart.
    """

    def __init__(self, floors_ms: tuple[int, ...] = (0, 0, 0)) -> None:
        self._waiting: tuple[deque[LogRecord], ...] = tuple(deque() for _ in TOPICS)
        self._delivered_ms = list(floors_ms)
        self._bytes = [0 for _ in TOPICS]

    def floor_ms(self, topic: int, timestamp_ms: int) -> int:
        """The log time of the topic's next record with this timestamp; call it once per record, in order."""
        late = max(timestamp_ms, self._delivered_ms[topic])
        self._delivered_ms[topic] = late
        return late

    def push(self, record: LogRecord) -> None:
        """Add the next record of its topic; ``log_ms`` comes from ``floor_ms``."""
        self._waiting[record.topic].append(record)
        self._bytes[record.topic] += _size(record)

    def waiting(self, topic: int) -> int:
        """Records of the topic that wait for the others."""
        return len(self._waiting[topic])

    def waiting_bytes(self, topic: int) -> int:
        """Bytes of their samples."""
        return self._bytes[topic]

    def pop(self) -> list[LogRecord]:
        """Release every record whose place in the order is certain: up to the first last record of the topics."""
        if not all(self._waiting):
            return []
        last = min((queue[-1].log_ms, topic) for topic, queue in enumerate(self._waiting))
        released = []
        for topic, queue in enumerate(self._waiting):
            while queue and (queue[0].log_ms, topic) <= last:
                record = queue.popleft()
                self._bytes[topic] -= _size(record)
                released.append(record)
        # A stable sort keeps the order of the offsets.
        released.sort(key=attrgetter("log_ms", "topic"))
        return released


def _size(record: LogRecord) -> int:
    return 0 if record.samples is None else record.samples.samples.nbytes
