"""Retention of the log: per topic, the oldest record that unfinished work still needs."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

from shared.windows.merge import TOPICS

Position = tuple[int, int]
"""(offset, log time) of a record in its topic."""


def oldest(*positions: Sequence[Position | None]) -> list[Position | None]:
    """Per topic, the oldest of some positions; None where there is none."""
    return [min((each[topic] for each in positions if each[topic] is not None), default=None) for topic in TOPICS]  # type: ignore[type-var]


class RetainedOffsets:
    """Owners and the first record of each topic that they need.

    Records are processed in the order of their offsets, so the owners of a topic are in the order of their positions,
    and the oldest is found at once.
    """

    def __init__(self) -> None:
        self._topics: tuple[OrderedDict[Hashable, Position], ...] = tuple(OrderedDict() for _ in TOPICS)

    def retain(self, owner: Hashable, topic: int, position: Position) -> None:
        """Keep the log from here; only an owner's first position in a topic counts."""
        self._topics[topic].setdefault(owner, position)

    def release(self, owner: Hashable) -> None:
        """Release all positions of the owner."""
        for owners in self._topics:
            owners.pop(owner, None)

    def low_watermarks(self, is_over: Callable[[Hashable], bool]) -> list[Position | None]:
        """Per topic, the oldest retained position; expired owners before it are dropped."""
        positions: list[Position | None] = []
        for owners in self._topics:
            while owners and is_over(next(iter(owners))):
                owners.popitem(last=False)
            positions.append(next(iter(owners.values()), None))
        return positions
