"""What one connection, and all of them together, may make an HTTP server hold: heads, bodies, time, requests.

httptools limits none of it, and uvicorn has deadlines for idle connections alone. Bounded before anything is buffered.
"""

import asyncio
import json
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.server import ServerState

from shared.runtime import metrics
from shared.runtime.coalescing_transport import CoalescingHttpProtocol
from shared.runtime.logging import RateLimitedLogger
from shared.runtime.metrics import HttpReason

log = logging.getLogger("gaitway.http")
_sparingly = RateLimitedLogger(log)

PIECE_BYTES = 16 * 1024
"""What the parser is given at a time: so much of a next request's head it may have buffered before it is counted."""
MAX_SILENT_BYTES = 1024
"""Of a body in which the parser finds neither data nor a chunk: an extension of a chunk or trailers without end."""
MAX_PIPELINED = 8
"""Requests that wait on one connection; clients that send the next before the answer are rare."""
PARTING_S = 1.0
PARTING_BYTES = 1024 * 1024
"""After a refusal what still comes is read and dropped for a while: a connection that is closed with data unread takes
the refusal with it."""

RESERVED_CONNECTIONS = 64
"""Above the limit, for refusals and for whoever asks how the process is: what does not answer is restarted."""
HEALTH_PATHS = frozenset({b"/healthz", b"/readyz", b"/metrics"})


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of one server; times in s.

    ``head_s``: from the first byte of a request, or from the connection, to the end of its head. ``body_s``: from there
    to the end of the body. ``write_s``: for which a client may leave answers unread.
    """

    head_bytes: int = 16 * 1024
    headers: int = 100
    head_s: float = 10.0
    body_s: float = 30.0
    write_s: float = 30.0
    connections: int = 256


DEFAULT_LIMITS = HttpLimits()


class Refused(Exception):
    """Raised inside the parser's callbacks; httptools hands it on wrapped."""

    def __init__(self, status: int, reason: HttpReason, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason: HttpReason = reason
        self.detail = detail


def limited(limits: HttpLimits) -> type["LimitedProtocol"]:
    """The protocol with these limits, for ``uvicorn.Config(http=...)``."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})


class LimitedProtocol(CoalescingHttpProtocol):
    """uvicorn's protocol within limits; an upgrade that is offered is not taken, the request is served as HTTP/1.1."""

    limits = DEFAULT_LIMITS

    deadline_s = float("inf")
    """On the loop's clock; ``close_overdue`` looks."""
    _write_deadline_s = float("inf")
    _in_head = True
    _head_bytes = 0
    _silent_bytes = 0
    _heard = False
    """Whether the parser has made something of the latest piece."""
    _has_begun = False
    """Whether a request has, of which the end has not come."""
    _has_ended = False
    """Whether a request has, in the latest piece."""
    _hosts = 0
    _upgrade_at: bytes | None = None
    _is_parting = False
    _is_excess = False
    _dropped_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse at once where there are too many."""
        super().connection_made(transport)
        self.deadline_s = self.loop.time() + self.limits.head_s
        excess = len(self.connections) - self.limits.connections
        self._is_excess = excess > 0
        if excess > RESERVED_CONNECTIONS:
            self._refuse(self._too_many())

    def data_received(self, data: bytes) -> None:
        """Piece by piece, so that what the parser buffers by itself stays bounded."""
        if self._is_parting:
            self._drop(data)
            return
        self._unset_keepalive_if_required()
        if self._in_head and not self._head_bytes:
            # The first byte of a request.
            self.deadline_s = self.loop.time() + self.limits.head_s
        try:
            while data and not self._is_parting and self.parser is not None:
                piece, data = (data, b"") if len(data) <= PIECE_BYTES else (data[:PIECE_BYTES], data[PIECE_BYTES:])
                data = self._feed(piece) + data
        except Refused as refused:
            self._refuse(refused)

    def _feed(self, piece: bytes) -> bytes:
        """Hand one piece to the parser; returns what of it is to be fed again."""
        self._heard = self._has_ended = False
        was_in_head = self._in_head
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            return self._rest_without_upgrade(piece[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Refused):
                raise error.__context__ from None
            raise Refused(400, "malformed", f"no HTTP/1.1: {error}") from None
        if self._in_head and (self._has_ended or not was_in_head):
            # Where in the piece the next head begins is not known; that it has begun is.
            self._head_bytes = min(len(piece), self.limits.head_bytes) if self._has_begun else 0
        elif self._in_head:
            self._head_bytes += len(piece)
            if self._head_bytes > self.limits.head_bytes:
                detail = f"the request line and the headers have more than {self.limits.head_bytes} bytes"
                raise Refused(431, "head_too_large", detail)
        elif not self._heard:
            self._silent_bytes += len(piece)
            if self._silent_bytes > MAX_SILENT_BYTES:
                raise Refused(400, "trailers", f"more than {MAX_SILENT_BYTES} bytes of a body are none of its data")
        else:
            self._silent_bytes = 0
        return b""

    def _rest_without_upgrade(self, rest: bytes) -> bytes:
        """The request again for a new parser, without what asked for another protocol: httptools has lost its body."""
        head, self._upgrade_at = self._upgrade_at, None
        if head is None:
            raise Refused(400, "malformed", "no HTTP/1.1")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self._in_head, self._head_bytes = True, 0
        return head + rest

    def on_message_begin(self) -> None:
        """A request line begins."""
        super().on_message_begin()
        self._hosts = 0
        self._has_begun = True

    def on_url(self, url: bytes) -> None:
        """The target, in one or more parts."""
        self._heard = True
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer, which nobody here reads."""
        if not self._in_head:
            return
        if len(self.headers) >= self.limits.headers:
            raise Refused(431, "head_too_large", f"there are more than {self.limits.headers} headers")
        if name.lower() == b"host":
            self._hosts += 1
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """RFC 9112, section 3.2: HTTP/1.1 needs one Host. An upgrade is left out, and the request read again."""
        self._heard = True
        if self._hosts != 1 and (self._hosts or self.parser.get_http_version() == "1.1"):
            raise Refused(400, "malformed", f"there are {self._hosts} Host headers; HTTP/1.1 needs one")
        if self.parser.should_upgrade():
            self._upgrade_at = self._head_without_upgrade()
            return
        self._in_head, self._head_bytes = False, 0
        self.deadline_s = self.loop.time() + self.limits.body_s
        if self._is_excess and self.url.partition(b"?")[0] not in HEALTH_PATHS:
            raise self._too_many()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise Refused(429, "pipelined", f"{MAX_PIPELINED} requests wait on this connection already")
        super().on_headers_complete()
        if self._is_excess:
            self.cycle.keep_alive = False

    def _too_many(self) -> Refused:
        return Refused(503, "connections", f"{self.limits.connections} connections are open")

    def _head_without_upgrade(self) -> bytes:
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise Refused(501, "malformed", "this is no proxy")
        lines = [method + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
        for name, value in self.headers:
            if name in (b"upgrade", b"http2-settings"):
                continue
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                kept = [token for token in tokens if token.lower() not in (b"upgrade", b"http2-settings")]
                if not kept:
                    continue
                value = b", ".join(kept)
            lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def on_chunk_header(self) -> None:
        """A chunk begins."""
        self._heard = True

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._heard = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The whole request has come."""
        if self._upgrade_at is not None:
            return
        self._heard = self._has_ended = True
        self._has_begun = False
        self._in_head, self._head_bytes, self._silent_bytes = True, 0, 0
        self.deadline_s = float("inf")
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client leaves answers unread."""
        super().pause_writing()
        self._write_deadline_s = self.loop.time() + self.limits.write_s

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._write_deadline_s = float("inf")

    def close_if_overdue(self, now_s: float) -> None:
        """End the connection whose deadline is over, with 408 where a request has begun."""
        if self.transport.is_closing():
            return
        if now_s >= self._write_deadline_s:
            _count("write_timeout")
            self.transport.abort()
        elif now_s < self.deadline_s:
            return
        elif self._is_parting:
            self.transport.abort()
        elif not self._in_head and self.cycle.response_complete:
            # It was answered before its body came, and the body never ends.
            _count("body_timeout")
            self.transport.close()
        elif not self._in_head:
            self._refuse(Refused(408, "body_timeout", f"the body did not come within {self.limits.body_s:g} s"))
        elif self._head_bytes:
            self._refuse(Refused(408, "head_timeout", f"the headers did not come within {self.limits.head_s:g} s"))
        else:
            _count("head_timeout")
            self.transport.close()

    def _refuse(self, refused: Refused) -> None:
        """Answer, unless an answer is under way, and end the connection."""
        _count(refused.reason)
        if refused.reason != "connections":
            _sparingly.log(logging.INFO, "%d, %s: %r", refused.status, refused.reason, refused.detail, extra={})
        self._is_parting = True
        self.deadline_s = self.loop.time() + PARTING_S
        cycle = self.cycle
        is_answering = cycle is not None and not cycle.response_complete
        # An answer to this request would be taken for that to the one before, where that is still under way.
        if not is_answering or not (cycle.response_started or self._in_head or self.pipeline):
            self.transport.write(_answer(refused))
        if is_answering:
            # The application is told that nobody listens any more.
            cycle.disconnected = True
            cycle.message_event.set()
        self.pipeline.clear()
        self.flow.resume_reading()
        self.transport.write_eof()

    def _drop(self, data: bytes) -> None:
        self._dropped_bytes += len(data)
        if self._dropped_bytes > PARTING_BYTES:
            self.transport.abort()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has nothing more to say; True where it is still to be answered."""
        cycle = self.cycle
        if self._is_parting or cycle is None or cycle.response_complete or not self._in_head:
            # By way of ours: the event loop would close the connection before an answer that has just been written.
            self.transport.close()
            return False
        cycle.keep_alive = False
        return True


def _count(reason: HttpReason) -> None:
    metrics.HTTP_REFUSED.labels(reason).inc()


def _answer(refused: Refused) -> bytes:
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": refused.detail,
    }
    body = json.dumps(problem).encode()
    again = b"Retry-After: 5\r\n" if refused.status in (429, 503) else b""
    return (
        b"HTTP/1.1 %d %s\r\n" % (refused.status, HTTPStatus(refused.status).phrase.encode())
        + b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n" % len(body)
        + again
        + b"Connection: close\r\n\r\n"
        + body
    )


async def close_overdue(state: ServerState, every_s: float = 0.5) -> None:
    """Look after the deadlines of all connections until cancelled: cheaper than a timer for each request."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(every_s)
        now_s = loop.time()
        for connection in list(state.connections):
            cast(Any, connection).close_if_overdue(now_s)
