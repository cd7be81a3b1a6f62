"""The longest time in which no event of a partition came although a window was due."""

from collections import defaultdict
from collections.abc import Collection, Mapping

import numpy as np

from tests.chaos.history import ReceivedEvent
from tests.chaos.windows import Key, Window


def longest_stall_s(windows: Mapping[Key, Window], events: Collection[ReceivedEvent], grace_ms: float) -> float:
    """From the 202 of a window's last upload, or the event before, to the next event of its partition.

    A window that has no event at all is lost, and makes no stall of the run's length on top.
    """
    by_partition: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for event in events:
        window = windows.get(event.identity[:3])
        if event.read_ms is not None and window is not None and window.expected:
            by_partition[event.partition].append((event.read_ms, window.due_ms(grace_ms)))
    stalls = [0.0]
    for pairs in by_partition.values():
        read_ms, due_ms = np.array(sorted(pairs)).T
        earliest_due_ms = np.minimum.accumulate(due_ms[::-1])[::-1]
        since_ms = np.maximum(earliest_due_ms, np.concatenate([[-np.inf], read_ms[:-1]]))
        stalls.append(float((read_ms - since_ms).max()) / 1000)
    return round(max(stalls), 2)
