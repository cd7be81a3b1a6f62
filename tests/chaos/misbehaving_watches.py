"""Watches that misbehave: they repeat, reorder, hold back, hang up; and write down what they did and were answered."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, TextIO

import msgspec

from tests.chaos.history import ACCEPTED, REFUSED
from training.datasets.recording import Recording
from training.upload_simulator import UPLOAD_PERIOD_S, uploads

ANSWER_WITHIN_S = 4.0
"""Real watches give up after 4 s (hazards seen in the field)."""
RETRY_S = (0.2, 1.5)
CELL_MS = UPLOAD_PERIOD_S * 1000
BLOCK = 12
"""Uploads that are held back or sent again together: a minute."""
CONTENT = ("accelerometer", "heart_rate", "steps")

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Manners:
    """How often an upload's first attempt goes wrong on the client's side, and whether it is always tried again."""

    hang_up: float = 0.04
    cut: float = 0.03
    abandon: float = 0.0


class Client:
    """One watch's HTTP, by hand: what is to go wrong happens at a certain byte."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._head = f"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: bytes, how: str) -> int | str:
        """The status, or what became of the request; ``how``: "whole", "hung up" (before the answer), "cut"."""
        writer = None
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                reader, writer = self._idle.pop() if self._idle else await self._connect()
                head = f"{self._head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                writer.write(head + (body[: len(body) // 2] if how == "cut" else body))
                await writer.drain()
                if how != "whole":
                    # What was written still leaves; a read would have shown us an answer.
                    writer.close()
                    return how
                status = await _status(reader)
                self._idle.append((reader, writer))
                writer = None
                return status
        except TimeoutError:
            return "no answer in time"
        except ConnectionRefusedError:
            return "refused"
        except (OSError, EOFError, ValueError):
            return "connection lost"
        finally:
            if writer is not None:
                writer.transport.abort() if how == "whole" else writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    def close(self) -> None:
        """Drop the idle connections."""
        for _, writer in self._idle:
            writer.close()


async def _status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = head.partition("content-length:")[2].partition("\r\n")[0]
    await reader.readexactly(int(length))
    return int(head.split(" ", 2)[1])


@dataclass(eq=False)
class Watch:
    """One watch: ``steps`` yields groups of (upload number, body) to send side by side."""

    user: str
    client: Client
    manners: Manners
    steps: Iterator[list[tuple[int, Body]]]
    random: Random
    log: TextIO
    to_be_refused: Container[int] = ()
    """Numbers of uploads that the contract does not take."""
    counts: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    _known: set[int] = field(default_factory=set)

    async def run(self, period_s: float, until: asyncio.Event) -> None:
        """Send until asked to stop; what was begun is finished."""
        await asyncio.sleep(self.random.random() * period_s)
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        for group in self.steps:
            if until.is_set():
                break
            await asyncio.gather(*(self._send(number, body) for number, body in group))
            next_s = max(next_s + period_s * len(group), loop.time())
            await asyncio.sleep(next_s - loop.time())
        self.client.close()

    async def _send(self, number: int, body: Body) -> None:
        """One upload until it is accepted, unless it is given up."""
        text = json.dumps(body)
        roll = self.random.random()
        manners = self.manners
        how = "hung up" if roll < manners.hang_up else "cut" if roll < manners.hang_up + manners.cut else "whole"
        gives_up = how == "hung up" and self.random.random() < manners.abandon
        if number in self._known:
            self.counts["repeated"] += 1
        while True:
            began_ms = time.time() * 1000
            self.in_flight += 1
            try:
                answer = await self.client.post(text.encode(), how)
            finally:
                self.in_flight -= 1
            self._note(number, body["device"], text, began_ms, answer)
            if how != "whole":
                self.counts["given up" if gives_up else how] += 1
            if answer == ACCEPTED or gives_up:
                return
            if answer == REFUSED and number in self.to_be_refused:
                self.counts["refused"] += 1
                return
            if isinstance(answer, int) and 400 <= answer < 500 and answer != 429:
                raise RuntimeError(f"upload {number} of {self.user} is refused with {answer}")
            how = "whole"
            self.counts["retried"] += 1
            await asyncio.sleep(self.random.uniform(*RETRY_S))

    def _note(self, number: int, device: str, text: str, began_ms: float, answer: int | str) -> None:
        self.counts["attempts"] += 1
        line: Body = {
            "user": self.user,
            "device": device,
            "upload": number,
            "began_ms": began_ms,
            "ended_ms": time.time() * 1000,
            "answer": answer,
        }
        if number not in self._known:
            self._known.add(number)
            line["body"] = text
        self.log.write(json.dumps(line) + "\n")


def whole_cells(recording: Recording) -> list[Body]:
    """The recording's uploads of a whole 5 s of accelerometer, with times relative to their own begin."""
    cells = []
    origin_ms = None
    for upload in uploads(recording):
        body = msgspec.to_builtins(upload)
        stamps = [body[name]["t0_ms"] for name in CONTENT if name in body]
        origin_ms = min(stamps) if origin_ms is None else origin_ms
        begin_ms = origin_ms + (min(stamps) - origin_ms) // CELL_MS * CELL_MS
        part = body.get("accelerometer")
        # A few recordings hold filled-in zeros, which are no readings.
        if (
            part
            and (0, 0, 0) not in zip(part["x"], part["y"], part["z"], strict=True)
            and part["t0_ms"] - begin_ms < 80
            and len(part["x"]) >= UPLOAD_PERIOD_S * part["rate_hz"] - 1e-6
        ):
            cells.append(moved(body, -begin_ms))
    return cells


def true_times(recording: Recording) -> list[Body]:
    """The recording's uploads, gaps and all, with times relative to the first sample."""
    bodies = [msgspec.to_builtins(upload) for upload in uploads(recording)]
    origin_ms = min(bodies[0][name]["t0_ms"] for name in CONTENT if name in bodies[0])
    return [moved(body, -origin_ms) for body in bodies]


def moved(body: Body, by_ms: int) -> Body:
    """The upload at another time."""
    parts = {name: body[name] | {"t0_ms": body[name]["t0_ms"] + by_ms} for name in CONTENT if name in body}
    return body | parts | {"sent_at_ms": max(0, body["sent_at_ms"] + by_ms)}
