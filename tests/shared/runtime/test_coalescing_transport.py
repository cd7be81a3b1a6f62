import asyncio

from starlette.types import Receive, Scope, Send

from shared.runtime.coalescing_transport import CoalescingTransport
from shared.runtime.http_server import bind, server


class Transport:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("close")

    def is_closing(self) -> bool:
        return "close" in self.done


async def test_what_is_written_in_one_turn_goes_out_as_one():
    transport = Transport()
    joined = CoalescingTransport(transport)
    joined.write(b"head ")
    joined.write(b"body")
    assert transport.done == []
    await asyncio.sleep(0)
    joined.write(b"next")
    await asyncio.sleep(0)
    assert transport.done == [b"head body", b"next"]
    assert not joined.is_closing()


async def test_closing_comes_after_what_was_written():
    transport = Transport()
    joined = CoalescingTransport(transport)
    joined.write(b"last")
    joined.close()
    await asyncio.sleep(0)
    assert transport.done == [b"last", "close"]


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": scope["path"][1:].encode()})


async def test_pipelined_requests_and_a_last_one_are_answered_in_order():
    sock = bind("127.0.0.1", 0)
    http = server(hello)
    serving = asyncio.create_task(http.serve(sockets=[sock]))
    reader, writer = await asyncio.open_connection(*sock.getsockname()[:2])
    head = "GET /{} HTTP/1.1\r\nHost: h\r\n{}\r\n"
    writer.write((head.format("aa", "") + head.format("bb", "") + head.format("cc", "Connection: close\r\n")).encode())
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    await writer.wait_closed()
    http.should_exit = True
    await serving
    assert [part[-2:] for part in answer.split(b"HTTP/1.1 200")[1:]] == [b"aa", b"bb", b"cc"]
