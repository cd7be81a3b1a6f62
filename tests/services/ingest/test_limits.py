"""What one connection may make the gateway hold, over real sockets: heads, bodies, time, requests, connections."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.ingest.app import create_app
from services.ingest.auth import TokenVerifier
from services.ingest.request_body import read_body
from shared.contracts.errors import InvalidUpload
from shared.contracts.token import make_token
from shared.runtime.health import Health
from shared.runtime.http_limits import MAX_PIPELINED, PIECE_BYTES, RESERVED_CONNECTIONS, HttpLimits
from shared.runtime.http_server import EmbeddedServer, bind, server
from shared.runtime.whole_messages import WholeMessages
from tests.services.ingest.memory_producer import MemoryProducer
from tests.services.ingest.uploads import KEY, NOW_MS, upload

BODY = json.dumps(upload()).encode()
TOKEN = make_token(KEY, "u1", 3_600)
LIMITS = HttpLimits(head_bytes=8 * 1024, headers=40, connections=20)
HEAD = (
    f"POST /v1/uploads HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
)


@dataclass
class Gateway:
    port: int
    server: EmbeddedServer
    producer: MemoryProducer

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with contextlib.AsyncExitStack() as running:

        async def start(**changes: Any) -> Gateway:
            limits = HttpLimits(**{name: getattr(LIMITS, name) for name in LIMITS.__slots__} | changes)
            producer = MemoryProducer()
            app = create_app(producer, TokenVerifier(KEY), Health(), clock=lambda: NOW_MS)
            sock = bind("127.0.0.1", 0)
            http = server(app, limits=limits, grace_s=1)
            serving = asyncio.create_task(http.serve(sockets=[sock]))

            async def stop() -> None:
                http.should_exit = True
                await serving

            running.push_async_callback(stop)
            return Gateway(sock.getsockname()[1], http, producer)

        yield start


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any], dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(status.split()[1]), json.loads(body or b"{}"), headers


async def exchange(gateway: Gateway, request: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
    async with gateway.connected() as (reader, writer):
        writer.write(request)
        return await answer(reader)


async def fill(writer: asyncio.StreamWriter, reader: asyncio.StreamReader, piece: bytes, most: int) -> int:
    """Send until the other side has had enough; how much that was."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < most and not reader._buffer:  # type: ignore[attr-defined]
            writer.write(piece)
            sent += len(piece)
            await writer.drain()
            await asyncio.sleep(0)
    return sent


def framed(body: bytes, *more: str) -> bytes:
    return "".join([HEAD, *(line + "\r\n" for line in more), f"Content-Length: {len(body)}\r\n\r\n"]).encode() + body


# Heads


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nX: ", b"a" * 1_000),
        (b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\n", b"X-Y: z\r\n" * 100),
        (b"GET /", b"a" * 1_000),
        (b"", b"\r\n" * 500),
        (b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\n", b"a" * 1_000),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /", b"a" * 1_000),
    ],
    ids=["one header", "many headers", "a URL", "empty lines", "a header's name", "the head of a second request"],
)
async def test_a_head_without_end_is_refused_at_the_limit(start: Start, begin: bytes, piece: bytes) -> None:
    gateway = await start()
    async with gateway.connected() as (reader, writer):
        writer.write(begin)
        if b"healthz" in begin:
            assert (await answer(reader))[0] == 200
        # What lies in the sockets' own buffers comes on top of what the gateway takes.
        sent = await fill(writer, reader, piece, 64 * 1024 * 1024)
        assert sent < 32 * 1024 * 1024
        status, problem, headers = await answer(reader)
        assert (status, headers["connection"]) == (431, "close")
        assert "headers" in problem["detail"]
        await reader.read()  # and the connection ends


@pytest.mark.parametrize(("extra", "status"), [(0, 202), (2 * PIECE_BYTES, 431)])
async def test_a_head_at_the_limit_is_taken_and_one_that_is_pieces_longer_is_not(
    start: Start, extra: int, status: int
) -> None:
    gateway = await start()
    room = LIMITS.head_bytes - (len(framed(BODY, "X: ")) - len(BODY)) + extra
    request = framed(BODY, "X: " + "a" * room)
    assert len(request) - len(BODY) == LIMITS.head_bytes + extra
    assert (await exchange(gateway, request))[0] == status


async def test_too_many_headers_are_refused(start: Start) -> None:
    gateway = await start()
    status, problem, _ = await exchange(gateway, framed(BODY, *("X: y" for _ in range(LIMITS.headers))))
    assert (status, problem["detail"]) == (431, "there are more than 40 headers")


@pytest.mark.parametrize("hosts", [[], ["a", "b"], ["a", "a"]])
async def test_http_1_1_needs_one_host(start: Start, hosts: list[str]) -> None:
    gateway = await start()
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    status, problem, _ = await exchange(gateway, f"GET /healthz HTTP/1.1\r\n{lines}\r\n".encode())
    assert (status, "Host" in problem["detail"]) == (400, True)


async def test_http_1_0_needs_none(start: Start) -> None:
    gateway = await start()
    async with gateway.connected() as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
        b"hello\r\n\r\n",
        b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/uploads HTTP/1.1\r\nHost : x\r\n\r\n",
    ],
    ids=["HTTP/2", "TLS", "HTTP/3", "text", "two lengths", "length and chunks", "no chunk size", "space before colon"],
)
async def test_what_is_no_http_1_1_is_answered_400(start: Start, request_: bytes) -> None:
    gateway = await start()
    status, problem, headers = await exchange(gateway, request_)
    assert (status, headers["content-type"], headers["connection"]) == (400, "application/problem+json", "close")
    assert problem["detail"]
    assert gateway.producer.published == []


# Bodies


@pytest.mark.parametrize(
    "endless", [b"5;" + b"x" * 60_000, b"0\r\nX: " + b"y" * 60_000], ids=["an extension", "a trailer"]
)
async def test_a_chunked_body_that_is_no_data_is_refused(start: Start, endless: bytes) -> None:
    gateway = await start()
    async with gateway.connected() as (reader, writer):
        writer.write((HEAD + "Transfer-Encoding: chunked\r\n\r\n").encode() + endless)
        sent = await fill(writer, reader, b"y" * 1_000, 64 * 1024 * 1024)
        assert sent < 32 * 1024 * 1024
        assert (await answer(reader))[0] in (400, 413)


async def test_chunks_with_an_extension_and_a_trailer_are_a_body(start: Start) -> None:
    gateway = await start()
    chunks = b"".join(b"%x;a=b\r\n%s\r\n" % (len(BODY[i : i + 7]), BODY[i : i + 7]) for i in range(0, len(BODY), 7))
    request = (HEAD + "Transfer-Encoding: chunked\r\n\r\n").encode() + chunks + b"0\r\nDigest: x\r\n\r\n"
    async with gateway.connected() as (reader, writer):
        for _ in range(2):
            writer.write(request)
            assert (await answer(reader))[0] == 202


# Upgrades


@pytest.mark.parametrize(
    "lines",
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
        ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        ("Upgrade: h2c", "Connection: keep-alive, Upgrade"),
    ],
    ids=["h2c", "websocket", "keep-alive"],
)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("cut", [None, 40, -10])
async def test_an_upgrade_is_not_taken_and_the_body_is_not_lost(
    start: Start, lines: tuple[str, ...], chunked: bool, cut: int | None
) -> None:
    gateway = await start()
    if chunked:
        head = HEAD + "".join(line + "\r\n" for line in lines) + "Transfer-Encoding: chunked\r\n\r\n"
        request = head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    else:
        request = framed(BODY, *lines)
    async with gateway.connected() as (reader, writer):
        for _ in range(3):
            writer.write(request[:cut])
            if cut is not None:
                await writer.drain()
                await asyncio.sleep(0.02)
                writer.write(request[cut:])
            assert (await answer(reader))[:2] == (202, {"accepted": 11})
    assert len(gateway.producer.published) == 9


async def test_a_tunnel_is_refused(start: Start) -> None:
    gateway = await start()
    assert (await exchange(gateway, b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 501


# Time and numbers


@pytest.mark.parametrize(
    ("begun", "status"),
    [
        (b"", None),
        (b"POST /v1/upl", 408),
        (b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nX: y\r\n", 408),
        (framed(BODY)[:-5], 408),
        ((HEAD + "Transfer-Encoding: chunked\r\n\r\n5\r\nhel").encode(), 408),
    ],
    ids=["nothing", "a request line", "a head", "a body", "a chunk"],
)
@pytest.mark.parametrize("served", [0, 2])
async def test_a_request_that_is_never_finished_is_ended(
    start: Start, begun: bytes, status: int | None, served: int
) -> None:
    if status is None:
        served = 0  # after an upload nothing is an idle connection, which stays
    gateway = await start(head_s=0.2, body_s=0.2)
    async with gateway.connected() as (reader, writer):
        for _ in range(served):
            writer.write(framed(BODY))
            assert (await answer(reader))[0] == 202
        writer.write(begun)
        if status is not None:
            assert (await answer(reader))[0] == status
        assert await reader.read() == b""
    assert len(gateway.producer.published) == 3 * served


async def test_body_that_comes_too_slowly_is_ended(start: Start) -> None:
    gateway = await start(body_s=0.3)
    async with gateway.connected() as (reader, writer):
        request = framed(BODY)
        writer.write(request[: -len(BODY)])
        with contextlib.suppress(ConnectionError):
            for at in range(len(BODY)):
                writer.write(BODY[at : at + 1])
                await asyncio.sleep(0.02)
                if reader._buffer:  # type: ignore[attr-defined]
                    break
        assert (await answer(reader))[0] == 408


async def test_a_connection_between_two_uploads_stays(start: Start) -> None:
    gateway = await start(head_s=0.2, body_s=0.2)
    async with gateway.connected() as (reader, writer):
        for _ in range(2):
            writer.write(framed(BODY))
            assert (await answer(reader))[0] == 202
            await asyncio.sleep(1.5)
        writer.write(framed(BODY))
        assert (await answer(reader))[0] == 202


async def test_one_connection_more_than_allowed_is_answered_503(start: Start) -> None:
    gateway = await start(connections=3)
    async with contextlib.AsyncExitStack() as open_ones:
        kept = [await open_ones.enter_async_context(gateway.connected()) for _ in range(3)]
        for reader, writer in kept:
            writer.write(framed(BODY))
            assert (await answer(reader))[0] == 202
        async with gateway.connected() as (reader, writer):
            writer.write(framed(BODY))
            status, _, headers = await answer(reader)
            assert (status, headers["retry-after"]) == (503, "5")
            assert await reader.read() == b""
        # Who asks how the process is gets an answer, and no more than that.
        async with gateway.connected() as (reader, writer):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await answer(reader))[0] == 200
            assert await reader.read() == b""
        more = [await open_ones.enter_async_context(gateway.connected()) for _ in range(RESERVED_CONNECTIONS)]
        async with gateway.connected() as (reader, writer):
            assert (await answer(reader))[0] == 503
        for _, writer in more:
            writer.transport.abort()
        while len(gateway.server.server_state.connections) > 3:
            await asyncio.sleep(0.01)
        # Who is in goes on.
        kept[0][1].write(framed(BODY))
        assert (await answer(kept[0][0]))[0] == 202
        kept[1][1].close()
        while len(gateway.server.server_state.connections) > 2:
            await asyncio.sleep(0.01)
        assert (await exchange(gateway, framed(BODY)))[0] == 202


async def test_too_many_pipelined_requests_end_the_connection(start: Start) -> None:
    gateway = await start()
    hold = asyncio.Event()

    async def publish(*_: object) -> None:
        await hold.wait()

    gateway.producer.publish = publish  # type: ignore[method-assign]
    before = refused("pipelined")
    async with gateway.connected() as (reader, writer):
        writer.write(framed(BODY) * (MAX_PIPELINED + 3))
        await reader.read()
        hold.set()
    assert refused("pipelined") == before + 1


async def test_some_requests_in_one_go_are_answered_in_order(start: Start) -> None:
    gateway = await start()
    async with gateway.connected() as (reader, writer):
        writer.write(framed(BODY) + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" + framed(BODY))
        assert [(await answer(reader))[0] for _ in range(3)] == [202, 404, 202]


async def test_a_client_that_ends_its_side_is_still_answered(start: Start) -> None:
    gateway = await start()
    async with gateway.connected() as (reader, writer):
        writer.write(framed(BODY) * 2)
        writer.write_eof()
        assert [(await answer(reader))[0] for _ in range(2)] == [202, 202]
        assert await reader.read() == b""
    assert len(gateway.producer.published) == 6


async def test_a_client_that_does_not_read_is_ended(start: Start) -> None:
    gateway = await start(write_s=0.3)
    before = refused("write_timeout")
    async with gateway.connected() as (_, writer):
        writer.transport.pause_reading()
        page = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        with contextlib.suppress(ConnectionError):
            while not writer.transport.is_closing() and refused("write_timeout") == before:
                writer.write(page)
                await asyncio.sleep(0.01)
    assert refused("write_timeout") == before + 1


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("gaitway_http_refused_total", {"reason": reason}) or 0.0


# What clients write that is meant well


@pytest.mark.parametrize("coding", ["x-gzip", "X-GZIP", "gzip"])
async def test_x_gzip_is_gzip(start: Start, coding: str) -> None:
    gateway = await start()
    packed = gzip.compress(BODY, mtime=0)
    assert (await exchange(gateway, framed(packed, f"Content-Encoding: {coding}")))[0] == 202


async def test_a_large_body_comes_whole_in_pieces(start: Start) -> None:
    gateway = await start()
    body = b" " * (4 * PIECE_BYTES) + BODY
    assert (await exchange(gateway, framed(body)))[0] == 202


# Requests and responses in one piece


async def test_an_answer_in_one_piece_has_the_servers_headers(start: Start) -> None:
    status, content, headers = await exchange(await start(), framed(BODY))
    assert (status, content) == (202, {"accepted": 11})
    assert {"date", "server", "content-type", "content-length", "traceresponse"} == set(headers)


async def test_a_client_that_wants_the_connection_closed_is_told_and_closed(start: Start) -> None:
    gateway = await start()
    async with gateway.connected() as (reader, writer):
        writer.write(framed(BODY, "Connection: close"))
        status, _, headers = await answer(reader)
        assert (status, headers["connection"]) == (202, "close")
        assert await reader.read() == b""


async def test_a_body_that_has_arrived_whole_is_limited_too() -> None:
    class Arrived(WholeMessages):
        def __init__(self) -> None:
            pass

        def take_body(self) -> bytes:
            return b"x" * 11

    async def receive() -> Any:
        raise AssertionError("there is no more to receive")

    headers = {b"content-type": b"application/json"}
    assert await read_body(headers, receive, 11, Arrived()) == b"x" * 11
    with pytest.raises(InvalidUpload, match="larger than 10 bytes"):
        await read_body(headers, receive, 10, Arrived())


async def test_a_client_that_waits_for_100_continue_gets_it_once(start: Start) -> None:
    gateway = await start()
    async with gateway.connected() as (reader, writer):
        writer.write(
            framed(b"", "Expect: 100-continue").replace(b"Content-Length: 0", b"Content-Length: %d" % len(BODY))
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await answer(reader))[0] == 202
