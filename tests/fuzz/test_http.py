"""Requests as bytes: whatever comes, in whatever pieces, is answered or ended, and the next client is served."""

import asyncio
import contextlib
import json
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.ingest.app import create_app
from services.ingest.auth import TokenVerifier
from shared.contracts.token import make_token
from shared.runtime.health import Health
from shared.runtime.http_limits import HttpLimits
from shared.runtime.http_server import bind, server
from tests.fuzz.mutations import mutated
from tests.services.ingest.memory_producer import MemoryProducer
from tests.services.ingest.uploads import KEY, NOW_MS, upload

BODY = json.dumps(upload()).encode()
TOKEN = make_token(KEY, "u1").encode()
LIMITS = HttpLimits(head_bytes=4_096, headers=30, head_s=2.0, body_s=2.0, connections=50)
STATUSES = {b"200", b"202", b"400", b"401", b"404", b"405", b"408", b"413", b"415", b"422", b"429", b"431", b"501"}


def request(*lines: bytes, body: bytes = BODY) -> bytes:
    head = [b"POST /v1/uploads HTTP/1.1", b"Host: x", b"Authorization: Bearer " + TOKEN]
    head += [b"Content-Type: application/json", *lines]
    return b"\r\n".join([*head, b"", b""]) + body


LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"
IN_CHUNKS = b"%x;a=b\r\n%s\r\n0\r\nX: y\r\n\r\n" % (len(BODY), BODY)
PLAIN = request(LENGTH)
REQUESTS = [
    PLAIN,
    request(CHUNKED, body=IN_CHUNKS),
    request(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk", LENGTH),
    request(b"Connection: Upgrade", b"Upgrade: websocket", CHUNKED, body=IN_CHUNKS),
    request(b"Expect: 100-continue", LENGTH),
    request(LENGTH, CHUNKED, body=IN_CHUNKS),
    request(LENGTH, b"X: " + b"y" * 5_000),
    request(LENGTH, *([b"X: y"] * 40)),
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n" * 3_000,
]
BYTES = st.sampled_from(REQUESTS).flatmap(lambda one: mutated(one) | st.just(one)) | st.binary(max_size=300)


async def exchange(pieces: list[bytes]) -> tuple[bytes, bytes]:
    """What the pieces are answered, and what an honest client is answered after them."""
    app = create_app(MemoryProducer(), TokenVerifier(KEY), Health(), clock=lambda: NOW_MS)
    sock = bind("127.0.0.1", 0)
    http = server(app, limits=LIMITS, grace_s=1)
    serving = asyncio.create_task(http.serve(sockets=[sock]))
    answers = [await talk(sock.getsockname()[1], some) for some in (pieces, [PLAIN])]
    http.should_exit = True
    await serving
    return answers[0], answers[1]


async def talk(port: int, pieces: list[bytes]) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.write_eof()
    answered = b""
    with contextlib.suppress(ConnectionError):
        while more := await reader.read(65_536):
            answered += more
    writer.transport.abort()
    return answered


@settings(max_examples=60, deadline=None)
@given(BYTES, st.lists(st.integers(0, 3_000), max_size=4))
@example(REQUESTS[2], [40])
@example(REQUESTS[6], [])
@example(REQUESTS[11], [])
def test_whatever_comes_is_answered_or_ended_and_the_next_is_served(sent, cuts):
    edges = [0, *sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]
    pieces = [sent[low:high] for low, high in pairwise(edges)]
    answered, honest = asyncio.run(exchange(pieces))
    if answered:
        version, status = answered.split(b" ", 2)[:2]
        assert version == b"HTTP/1.1"
        assert status in STATUSES | {b"100"}
    assert honest.startswith(b"HTTP/1.1 202 ")
