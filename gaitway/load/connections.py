"""Keep-alive connections to one gateway, as a load balancer pools them: one request at a time on each.

It is written on httptools because an HTTP client library takes several times the CPU of the gateway that is measured on
the same cores.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar, cast

import httptools

Slot = TypeVar("Slot")

BROKEN = 0
"""Status of a request whose connection ended before the answer, or that timed out."""


class Pool(Generic[Slot]):
    """``send(slot, request)``; ``on_answer(slot, status)`` is called once for each.

    Requests without a free connection wait in order.
    """

    def __init__(self, host: str, port: int, on_answer: Callable[[Slot, int], None], answer_within_s: float) -> None:
        self._address = (host, port)
        self._on_answer = on_answer
        self._answer_within_s = answer_within_s
        self._free: list[_Connection[Slot]] = []
        self._busy: set[_Connection[Slot]] = set()
        self._waiting: deque[tuple[Slot, bytes]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def unanswered(self) -> int:
        """Requests in flight and waiting."""
        return len(self._busy) + len(self._waiting)

    async def open(self, connections: int) -> None:
        """Connect; raises OSError when nothing listens."""
        await asyncio.gather(*(self._connect() for _ in range(connections)))

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: _Connection(self), *self._address)

    def send(self, slot: Slot, request: bytes) -> None:
        """Send now, or as soon as a connection is free."""
        if self._free:
            connection = self._free.pop()
            self._busy.add(connection)
            connection.send(slot, request)
        else:
            self._waiting.append((slot, request))

    def abandon_late(self) -> None:
        """Abort requests that got no answer in time; call it about once a second."""
        before_s = asyncio.get_running_loop().time() - self._answer_within_s
        for connection in [each for each in self._busy if each.sent_s < before_s]:
            connection.abort()

    def release(self, connection: "_Connection[Slot]") -> None:
        """Take back an idle connection."""
        self._busy.discard(connection)
        self._free.append(connection)
        if self._waiting:
            self.send(*self._waiting.popleft())

    def report(self, slot: Slot, status: int) -> None:
        """Report the result of a request."""
        self._on_answer(slot, status)

    def replace(self, connection: "_Connection[Slot]") -> None:
        """Replace a connection that has ended."""
        self._busy.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        if not self._closing:
            task = asyncio.ensure_future(self._reconnect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _reconnect(self) -> None:
        while not self._closing:
            try:
                await self._connect()
            except OSError:
                await asyncio.sleep(0.5)
            else:
                return

    def close(self) -> None:
        """End all connections."""
        self._closing = True
        for connection in [*self._free, *self._busy]:
            connection.abort()


class _Connection(asyncio.Protocol, Generic[Slot]):
    def __init__(self, pool: Pool[Slot]) -> None:
        self._pool = pool
        self._slot: Slot | None = None
        self.sent_s = 0.0
        self._clock = asyncio.get_running_loop().time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)
        self._pool.release(self)

    def send(self, slot: Slot, request: bytes) -> None:
        self._slot, self.sent_s = slot, self._clock()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def on_message_complete(self) -> None:
        slot, self._slot = self._slot, None
        if slot is None:
            return
        self._pool.report(slot, self._parser.get_status_code())
        self._pool.release(self)

    def connection_lost(self, _: Exception | None) -> None:
        slot, self._slot = self._slot, None
        self._pool.replace(self)
        if slot is not None:
            self._pool.report(slot, BROKEN)

    def abort(self) -> None:
        self._transport.abort()
