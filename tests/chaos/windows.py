"""Which windows the accepted uploads fill, by the closing rules of the contract (architecture.md, section 4)."""

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tests.chaos.contract import KINDS, WINDOW_MS, Kind, Signal, on_grid, window_phase_ms
from tests.chaos.history import Sent

GRACE_MARGIN_MS = 1_000
"""Between the client's clock, the broker's clock and the tick that makes a window due."""
MAX_OPTIONAL = 6

Key = tuple[str, str, int]
"""(user, device, window_start_ms)."""
Signals = dict[str, Signal]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One window that an upload has a sample in.

    ``certain``: what it holds when it closes follows from the answers alone. ``contents``: all that it may hold then
    with an accelerometer that passes; exactly one or none where it is certain.
    """

    key: Key
    uploads: tuple[Sent, ...]
    certain: bool
    complete: bool
    contents: tuple[Signals, ...]

    @property
    def expected(self) -> bool:
        """It must have its event."""
        return self.certain and bool(self.contents)

    @property
    def uncertain(self) -> bool:
        """It may have one."""
        return not self.certain and bool(self.contents)

    def due_ms(self, grace_ms: float) -> float:
        """When nothing is left to wait for: the last 202, and the grace period where something is missing."""
        return max(upload.settled_ms for upload in self.uploads) + (0 if self.complete else grace_ms)


def windows_of(uploads: Collection[Sent], hop_ms: int, grace_ms: float) -> Iterator[Window]:
    """All windows with data, per stream in the order of their start."""
    members: dict[Key, set[Sent]] = defaultdict(set)
    for upload in uploads:
        phase_ms = window_phase_ms(upload.user, hop_ms)
        for part in upload.parts.values():
            first = int((part.t_ms[0] - phase_ms - WINDOW_MS) // hop_ms + 1) * hop_ms + phase_ms
            for start in range(first, int(part.t_ms[-1]) + 1, hop_ms):
                members[upload.user, upload.device, start].add(upload)
    for key in sorted(members):
        yield _window(key, sorted(members[key], key=lambda sent: sent.number), grace_ms)


def _window(key: Key, uploads: list[Sent], grace_ms: float) -> Window:
    start = key[2]
    certain = _is_certain(start, uploads, grace_ms)
    choices: Sequence[Sequence[Sent]] = [uploads] if certain else _choices(uploads)
    possible = [_signals(start, choice) for choice in choices]
    contents = tuple(signals for signals in possible if signals["accelerometer"].passes)
    return Window(key, tuple(uploads), certain, is_complete(start, uploads), contents)


def _is_certain(start: int, uploads: Sequence[Sent], grace_ms: float) -> bool:
    """All of it arrived, none so much later than another that the grace period may have been over, none dispensable."""
    if any(upload.accepted_ms is None for upload in uploads):
        return False
    # The k-th to arrive came between the k-th of the earliest and the k-th of the latest possible times.
    earliest = sorted(upload.began_ms for upload in uploads)
    latest = sorted(upload.settled_ms for upload in uploads)
    if any(late - early > grace_ms - GRACE_MARGIN_MS for early, late in zip(earliest, latest[1:], strict=False)):
        return False
    # Complete without one of them it may have closed before that one came.
    return not any(is_complete(start, [u for u in uploads if u is not upload]) for upload in uploads)


def _choices(uploads: list[Sent]) -> list[Sequence[Sent]]:
    """Every set of uploads that the window may have held; of many, all and all but one."""
    sizes = range(1, len(uploads) + 1) if len(uploads) <= MAX_OPTIONAL else (len(uploads) - 1, len(uploads))
    return [choice for size in sizes for choice in itertools.combinations(uploads, size)]


def is_complete(start: int, uploads: Collection[Sent]) -> bool:
    """Rule (a): for all that is announced the spans leave no gap; a heart rate may, where there is anything else."""
    announced = {name for upload in uploads for name in upload.parts}
    asked = announced - {"heart_rate"} or announced
    return bool(uploads) and all(_spans_cover(kind, start, uploads) for kind in KINDS if kind.name in asked)


def _spans_cover(kind: Kind, start: int, uploads: Collection[Sent]) -> bool:
    parts = [upload.parts[kind.name] for upload in uploads if kind.name in upload.parts]
    reached_ms = float(start)
    for part in sorted(parts, key=lambda part: float(part.t_ms[0])):
        if part.t_ms[-1] < start or part.t_ms[0] >= start + WINDOW_MS:
            continue
        if part.t_ms[0] - reached_ms > kind.neighbour_ms:
            return False
        reached_ms = max(reached_ms, part.end_ms)
    return start + WINDOW_MS - reached_ms <= kind.neighbour_ms


def _signals(start: int, uploads: Collection[Sent]) -> Signals:
    signals = {}
    for kind in KINDS:
        parts = [upload.parts[kind.name] for upload in uploads if kind.name in upload.parts]
        channels = 3 if kind.name == "accelerometer" else 1
        t_ms = np.concatenate([np.empty(0), *(part.t_ms for part in parts)])
        values = np.concatenate([np.empty((channels, 0)), *(part.values for part in parts)], axis=1)
        signals[kind.name] = on_grid(kind, start, t_ms, values)
    return signals
