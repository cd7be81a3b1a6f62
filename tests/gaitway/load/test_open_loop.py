"""The open loop against a gateway of our own that answers as a test asks."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from gaitway.load.fleet import Fleet, request_head
from gaitway.load.open_loop import OpenLoopSender
from shared.runtime.clock import system_clock

TEMPLATE = b'{"seq":%d,"sent_at_ms":%d,"a":%d,"b":%d,"c":%d}'


async def served(answer: Callable[[int], bytes | None], watches: int, steps: int, connections: int) -> OpenLoopSender:
    """Send to a server that answers its n-th request with ``answer(n)``; None ends the connection."""
    count = 0
    handling: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        handling.add(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.rpartition(b"Content-Length: ")[2]))
                count += 1
                reply = answer(count)
                if reply is None:
                    break
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    users = [f"u{n}" for n in range(watches)]
    fleet = Fleet(users, [request_head("h", port, user) for user in users], [TEMPLATE], system_clock())
    run = OpenLoopSender(fleet, "127.0.0.1", port, steps)
    async with server, asyncio.timeout(30):
        await run.run(connections)
        await asyncio.gather(*(task for task in handling if task))
    return run


def status(code: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % code


async def test_all_uploads_are_accepted_over_few_connections():
    run = await served(lambda _: status(202), watches=50, steps=1, connections=3)
    assert (run.sent.offered, run.sent.accepted, run.sent.lost) == (50, 50, [])
    assert len(run.sent.latency_ms) == 50


async def test_what_is_refused_for_now_or_cut_off_is_sent_again():
    run = await served(lambda n: status(503) if n == 2 else None if n == 5 else status(202), 20, 1, 4)
    assert run.sent.statuses == Counter({202: 20, 503: 1, 0: 1})
    assert (run.sent.retries, run.sent.lost) == (2, [])


async def test_what_is_refused_for_good_is_lost():
    run = await served(lambda n: status(422) if n == 3 else status(202), 10, 1, 1)
    assert [upload.watch for upload in run.sent.lost] == [2]


async def test_nobody_listens():
    fleet = Fleet(["u"], [request_head("h", 1, "t")], [TEMPLATE], system_clock())
    with pytest.raises(OSError):
        await OpenLoopSender(fleet, "127.0.0.1", 1, 1).run(1)
