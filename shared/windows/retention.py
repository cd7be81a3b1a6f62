"""What the log must be kept for: per topic, the records that something unfinished still needs."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

from shared.windows.merge import TOPICS

Position = tuple[int, int]
"""(offset, log time) of a record in its topic."""


class RetainedOffsets:
    """Holders and the first record of each topic that they need.

    Records are folded in the order of their offsets, so the holders of a topic stand in the order of what they hold,
    and the oldest is at hand whatever their number.
    """

    def __init__(self) -> None:
        self._topics: tuple[OrderedDict[Hashable, Position], ...] = tuple(OrderedDict() for _ in TOPICS)

    def retain(self, owner: Hashable, topic: int, position: Position) -> None:
        """Keep the log from here on; a holder's first position in a topic stands."""
        self._topics[topic].setdefault(owner, position)

    def release(self, owner: Hashable) -> None:
        """The holder needs nothing any more."""
        for owners in self._topics:
            owners.pop(owner, None)

    def low_watermarks(self, is_over: Callable[[Hashable], bool]) -> list[Position | None]:
        """Per topic, the oldest position that is held; holders in front that time has ended are dropped on the way."""
        positions: list[Position | None] = []
        for owners in self._topics:
            while owners and is_over(next(iter(owners))):
                owners.popitem(last=False)
            positions.append(next(iter(owners.values()), None))
        return positions
