"""The open loop: every upload goes out when it is due, however late the gateway answers the others.

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
_REFUSED_FOR_NOW = (0, 429, 500, 502, 503, 504)


@dataclass(slots=True, eq=False)
class Sent:
    """What has become of the uploads so far; ``latency_ms``: one of each that was accepted."""

    statuses: Counter[int] = field(default_factory=Counter)
    latency_ms: "array[float]" = field(default_factory=lambda: array("d"))
    offered: int = 0
    retries: int = 0
    lost: list[Upload] = field(default_factory=list)
    late_ms: float = 0.0
    """The longest that an upload went out after it was due, for want of this process's time."""

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
        self._again: list[tuple[float, Upload]] = []
        self.sent = Sent()

    async def run(self, connections: int) -> None:
        """Send everything; returns when each upload is accepted or given up.

        Raises:
            OSError: nobody listens there.
        """
        await self._pool.open(connections)
        sweeping = asyncio.create_task(self._sweep())
        try:
            while self._next is not None or self._pool.unanswered or self._again:
                self._send_due(system_clock() - self._fleet.begin_ms)
                await asyncio.sleep(TICK_S)
        finally:
            sweeping.cancel()
            self._pool.close()

    def _send_due(self, now_ms: float) -> None:
        while (upload := self._next) is not None and upload.due_ms <= now_ms:
            self._next = next(self._uploads, None)
            self.sent.late_ms = max(self.sent.late_ms, now_ms - upload.due_ms)
            self.sent.offered += 1
            self._pool.send(upload, self._fleet.request(upload))
        while self._again and self._again[0][0] <= now_ms:
            _, upload = heapq.heappop(self._again)
            self.sent.retries += 1
            self._pool.send(upload, self._fleet.request(upload))

    def _answered(self, upload: Upload, status: int) -> None:
        self.sent.statuses[status] += 1
        now_ms = system_clock() - self._fleet.begin_ms
        if status == _ACCEPTED:
            self.sent.latency_ms.append(now_ms - upload.due_ms)
        elif status in _REFUSED_FOR_NOW and upload.tries < GIVE_UP_TRIES:
            first_ms, last_ms = RETRY_MS
            pause_ms = min(first_ms * 2**upload.tries, last_ms) * random.uniform(0.5, 1.0)  # noqa: S311
            heapq.heappush(self._again, (now_ms + pause_ms, upload._replace(tries=upload.tries + 1)))
        else:
            self.sent.lost.append(upload)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._pool.abandon_late()
