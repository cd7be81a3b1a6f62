"""Open-loop sending: every upload is sent when it is due, however late the gateway answers the others.

Latency counts from when an upload was due, not from when it could be sent (no coordinated omission).
"""

import asyncio
import heapq
import random
from array import array
from collections import Counter
from dataclasses import dataclass, field

from gaitway.load.connections import Pool
from gaitway.load.fleet import Fleet, Upload
from shared.runtime.clock import system_clock

ANSWER_WITHIN_S = 4.0
"""Real watches give up on an answer after 4 s."""
RETRY_MS = (250, 4_000)
TICK_S = 0.004
GIVE_UP_TRIES = 20
_ACCEPTED = 202
_RETRYABLE = (0, 429, 500, 502, 503, 504)


@dataclass(slots=True, eq=False)
class SendResults:
    """Results so far; ``latency_ms`` has one value per accepted upload."""

    statuses: Counter[int] = field(default_factory=Counter)
    latency_ms: "array[float]" = field(default_factory=lambda: array("d"))
    offered: int = 0
    retries: int = 0
    lost: list[Upload] = field(default_factory=list)
    late_ms: float = 0.0
    """The longest delay between due and sent, because this process was busy."""

    @property
    def accepted(self) -> int:
        """Uploads that the gateway has acknowledged."""
        return self.statuses[_ACCEPTED]


class OpenLoopSender:
    """Sends ``steps`` uploads of every watch of a fleet."""

    def __init__(self, fleet: Fleet, host: str, port: int, steps: int) -> None:
        self._fleet = fleet
        self._uploads = fleet.uploads(steps)
        self._next = next(self._uploads, None)
        self._pool: Pool[Upload] = Pool(host, port, self._answered, ANSWER_WITHIN_S)
        self._retries: list[tuple[float, Upload]] = []
        self.sent = SendResults()

    async def run(self, connections: int) -> None:
        """Send everything; returns when each upload is accepted or lost.

        Raises:
            OSError: nothing listens there.
        """
        await self._pool.open(connections)
        abandoning = asyncio.create_task(self._abandon_late())
        try:
            while self._next is not None or self._pool.unanswered or self._retries:
                self._send_due(system_clock() - self._fleet.begin_ms)
                await asyncio.sleep(TICK_S)
        finally:
            abandoning.cancel()
            self._pool.close()

    def _send_due(self, now_ms: float) -> None:
        while (upload := self._next) is not None and upload.due_ms <= now_ms:
            self._next = next(self._uploads, None)
            self.sent.late_ms = max(self.sent.late_ms, now_ms - upload.due_ms)
            self.sent.offered += 1
            self._pool.send(upload, self._fleet.request(upload))
        while self._retries and self._retries[0][0] <= now_ms:
            _, upload = heapq.heappop(self._retries)
            self.sent.retries += 1
            self._pool.send(upload, self._fleet.request(upload))

    def _answered(self, upload: Upload, status: int) -> None:
        self.sent.statuses[status] += 1
        now_ms = system_clock() - self._fleet.begin_ms
        if status == _ACCEPTED:
            self.sent.latency_ms.append(now_ms - upload.due_ms)
        elif status in _RETRYABLE and upload.tries < GIVE_UP_TRIES:
            first_ms, last_ms = RETRY_MS
            pause_ms = min(first_ms * 2**upload.tries, last_ms) * random.uniform(0.5, 1.0)  # noqa: S311
            heapq.heappush(self._retries, (now_ms + pause_ms, upload._replace(tries=upload.tries + 1)))
        else:
            self.sent.lost.append(upload)

    async def _abandon_late(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._pool.abandon_late()
