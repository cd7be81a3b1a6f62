"""What a watch sends in which order: calm, repeating, reordering, holding back, with gaps, or worse."""

import copy
import time
from collections.abc import Callable, Iterator
from itertools import count
from random import Random

from tests.chaos.misbehaving_watches import BLOCK, CELL_MS, Body, moved

Steps = Iterator[list[tuple[int, Body]]]
HOP_MS = 10_000
BEHIND_MS = 2 * 3_600_000
"""What is held back comes up to this much device time after its successors."""


def _stamped(cells: list[Body], at_ms: int, number: int) -> tuple[int, Body]:
    return number, moved(cells[number % len(cells)], at_ms) | {"session": "chaos", "seq": number}


def calm(cells: list[Body], start_ms: int, random: Random) -> Steps:
    """One upload after the other, without a gap, for ever."""
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


def with_gaps(bodies: list[Body], start_ms: int, random: Random) -> Steps:
    """A recording at its own times, gaps and all, again and again."""
    last = bodies[-1]
    length_ms = max(part["t0_ms"] for part in last.values() if isinstance(part, dict) and "t0_ms" in part)
    length_ms = (length_ms // HOP_MS + 3) * HOP_MS
    for number in count():
        turn = number // len(bodies)
        yield [_stamped(bodies, start_ms + turn * length_ms, number)]


def sparse_heart_rate(cells: list[Body], start_ms: int, random: Random) -> Steps:
    """A heart rate every 5 s, or on change: then some uploads have none. Nothing may wait for it."""
    for number in count():
        at, body = _stamped(cells, start_ms + number * CELL_MS, number)
        part = body.pop("heart_rate", None)
        bpm = next((value for value in part["bpm"] if value), None) if part else None
        if part and bpm and random.random() < 0.7:
            body["heart_rate"] = {"t0_ms": part["t0_ms"], "rate_hz": 0.2, "bpm": [bpm]}
        yield [(at, body)]


def implausible(cells: list[Body], start_ms: int, random: Random) -> Steps:
    """What watches send where they have no reading, and an accelerometer whose range is too small."""
    for number in count():
        # The cells are other watches' as well: what is changed is changed in a copy.
        at, body = copy.deepcopy(_stamped(cells, start_ms + number * CELL_MS, number))
        if "heart_rate" in body and random.random() < 0.5:
            bpm = body["heart_rate"]["bpm"]
            bpm[random.randrange(len(bpm))] = random.choice([255, 254, 0, 24, 241, 200])
        if "steps" in body and random.random() < 0.3:
            total = body["steps"]["total"]
            total[random.randrange(len(total))] = random.choice([65_535, 2**31 - 1, 600_000, 9_000])
        if random.random() < 0.2:
            axis = body["accelerometer"][random.choice("xyz")]
            first = random.randrange(len(axis))
            for index in range(first, min(len(axis), first + random.randint(1, 30))):
                axis[index] = random.choice([2_000, -8_000, 32_767]) if index == first else axis[first]
        yield [(at, body)]


LONG_NULLS_S = 3 * 3_600
DAY_MS = 86_400_000


def hostile(cells: list[Body], start_ms: int, random: Random) -> Steps:
    """Between honest uploads some whose cost is not their size: days of nulls, hours of them, scattered samples."""
    for number in count():
        if number in REFUSED_NUMBERS:
            nulls = {"t0_ms": start_ms - 2 * DAY_MS, "rate_hz": 0.4, "bpm": [None] * 60_000}
            yield [_foreign(cells, number, {"heart_rate": nulls})]
        elif number % 25 == 12:
            begin_ms = start_ms - 2 * DAY_MS + number * 60_000
            nulls = {"t0_ms": begin_ms, "rate_hz": 1, "bpm": [None] * LONG_NULLS_S}
            yield [_foreign(cells, number, {"heart_rate": nulls})]
        elif number % 5 == 3:
            begin_ms = start_ms - 2 * DAY_MS - random.randrange(DAY_MS // 25) * 25
            one = {"t0_ms": begin_ms, "rate_hz": 25, "unit": "mg", "x": [1], "y": [2], "z": [1_000]}
            # The same number each time: as if one upload had parts all over the day.
            yield [_foreign(cells, number, {"accelerometer": one}, seq=3)]
        else:
            yield [_stamped(cells, start_ms + number * CELL_MS, number)]


class _EveryTwentyFifth:
    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and number % 25 == 7


REFUSED_NUMBERS = _EveryTwentyFifth()


def _foreign(cells: list[Body], number: int, parts: Body, seq: int | None = None) -> tuple[int, Body]:
    frame = {"device": cells[0]["device"], "session": "foreign", "seq": number if seq is None else seq}
    return number, frame | {"sent_at_ms": int(time.time() * 1000)} | parts


TEMPERS: dict[str, Callable[[list[Body], int, Random], Steps]] = {
    "calm": calm,
    "repeating": repeating,
    "reordering": reordering,
    "holding back": holding_back,
    "with gaps": with_gaps,
    "sparse heart rate": sparse_heart_rate,
    "implausible": implausible,
    "hostile": hostile,
    "two watches": calm,
}
