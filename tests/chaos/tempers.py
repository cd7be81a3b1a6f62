"""In which order a watch sends what it measured: calm, repeating, reordering, holding back, or with holes."""

from collections.abc import Callable, Iterator
from itertools import count
from random import Random

from tests.chaos.watches import BLOCK, CELL_MS, Body, moved

Steps = Iterator[list[tuple[int, Body]]]
HOP_MS = 10_000
BEHIND_MS = 2 * 3_600_000
"""What is held back comes up to this much device time after its successors."""


def _stamped(cells: list[Body], at_ms: int, number: int) -> tuple[int, Body]:
    return number, moved(cells[number % len(cells)], at_ms) | {"session": "chaos", "seq": number}


def calm(cells: list[Body], start_ms: int, random: Random) -> Steps:
    """One upload after the other, without a hole, for ever."""
    for number in count():
        yield [_stamped(cells, start_ms + number * CELL_MS, number)]


def repeating(cells: list[Body], start_ms: int, random: Random) -> Steps:
    """Now and then an earlier upload again, or a whole earlier minute."""
    for number in count():
        yield [_stamped(cells, start_ms + number * CELL_MS, number)]
        if random.random() < 0.1:
            again = random.randrange(number + 1)
            yield [_stamped(cells, start_ms + again * CELL_MS, again)]
        if number > 2 * BLOCK and random.random() < 0.02:
            first = random.randrange(number - BLOCK)
            for again in range(first, first + BLOCK):
                yield [_stamped(cells, start_ms + again * CELL_MS, again)]


def reordering(cells: list[Body], start_ms: int, random: Random) -> Steps:
    """Half a minute in any order, two uploads at a time."""
    for first in count(0, 6):
        numbers = list(range(first, first + 6))
        random.shuffle(numbers)
        for pair in range(0, 6, 2):
            yield [_stamped(cells, start_ms + n * CELL_MS, n) for n in numbers[pair : pair + 2]]


def holding_back(cells: list[Body], start_ms: int, random: Random) -> Steps:
    """Minutes with pauses between them; some come after those that follow, up to two hours of device time late."""
    held: list[tuple[int, list[tuple[int, Body]]]] = []
    at_ms = start_ms
    for block in count():
        first = block * BLOCK
        uploads = [_stamped(cells, at_ms + i * CELL_MS, first + i) for i in range(BLOCK)]
        at_ms += BLOCK * CELL_MS + HOP_MS * random.randint(2, 100)
        if random.random() < 0.4:
            held.append((at_ms, uploads))
        else:
            yield from ([upload] for upload in uploads)
        random.shuffle(held)
        while held and (at_ms - min(since_ms for since_ms, _ in held) > BEHIND_MS * 0.8 or random.random() < 0.3):
            yield from ([upload] for upload in held.pop(held.index(min(held, key=lambda item: item[0])))[1])


def with_holes(bodies: list[Body], start_ms: int, random: Random) -> Steps:
    """A recording at its own times, holes and all, again and again."""
    last = bodies[-1]
    length_ms = max(part["t0_ms"] for part in last.values() if isinstance(part, dict) and "t0_ms" in part)
    length_ms = (length_ms // HOP_MS + 3) * HOP_MS
    for number in count():
        turn = number // len(bodies)
        yield [_stamped(bodies, start_ms + turn * length_ms, number)]


TEMPERS: dict[str, Callable[[list[Body], int, Random], Steps]] = {
    "calm": calm,
    "repeating": repeating,
    "reordering": reordering,
    "holding back": holding_back,
    "with holes": with_holes,
}
