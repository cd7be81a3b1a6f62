"""Limits of an HTTP server per connection and over all connections: heads, bodies, time, requests.

httptools limits none of these, and uvicorn has deadlines only for idle connections. The limits apply before buffering.
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
from shared.runtime.whole_messages import EXTENSION, WholeMessages

log = logging.getLogger("gaitway.http")
_refusal_log = RateLimitedLogger(log)

PIECE_BYTES = 16 * 1024
"""Largest piece for the parser: it may buffer this much of the next request's head before it is counted."""
MAX_SILENT_BYTES = 1024
"""Largest part of a body without data or a chunk, which stops endless chunk extensions and trailers."""
MAX_PIPELINED = 8
"""Requests that wait on one connection; few clients send the next one before the answer."""
DISCARD_S = 1.0
DISCARD_BYTES = 1024 * 1024
"""Input after a refusal is read and discarded for a while, because closing a connection with unread data discards the
refusal too."""

RESERVED_CONNECTIONS = 64
"""Connections above the limit, for refusals and health checks: a process that does not answer is restarted."""
HEALTH_PATHS = frozenset({b"/healthz", b"/readyz", b"/metrics"})


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of one server; times in s.

    ``head_s``: from the first byte of a request, or from the connection, to the end of its head. ``body_s``: from there
    to the end of the body. ``write_s``: how long a client may leave answers unread.
    """

    head_bytes: int = 16 * 1024
    headers: int = 100
    head_s: float = 10.0
    body_s: float = 30.0
    write_s: float = 30.0
    connections: int = 256


DEFAULT_LIMITS = HttpLimits()


class Refused(Exception):
    """A refusal, raised inside the parser's callbacks; httptools wraps it."""

    def __init__(self, status: int, reason: HttpReason, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason: HttpReason = reason
        self.detail = detail


def limited(limits: HttpLimits) -> type["LimitedProtocol"]:
    """Return a protocol class with these limits, for ``uvicorn.Config(http=...)``."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})


class LimitedProtocol(CoalescingHttpProtocol):
    """uvicorn's protocol with limits; it ignores a requested upgrade and serves the request as HTTP/1.1."""

    limits = DEFAULT_LIMITS

    deadline_s = float("inf")
    """On the loop's clock; ``close_overdue`` checks it."""
    _write_deadline_s = float("inf")
    _in_head = True
    _head_bytes = 0
    _silent_bytes = 0
    _has_parsed = False
    """Whether the parser has found something in the latest piece."""
    _has_begun = False
    """Whether a request has begun and not ended."""
    _has_ended = False
    """Whether a request has ended in the latest piece."""
    _hosts = 0
    _upgrade_at: bytes | None = None
    _is_refused = False
    _is_excess = False
    _dropped_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse the connection at once if there are too many."""
        super().connection_made(transport)
        self.deadline_s = self.loop.time() + self.limits.head_s
        excess = len(self.connections) - self.limits.connections
        self._is_excess = excess > 0
        if excess > RESERVED_CONNECTIONS:
            self._refuse(self._too_many())

    def data_received(self, data: bytes) -> None:
        """Feed the parser piece by piece, so that its own buffer stays limited."""
        if self._is_refused:
            self._drop(data)
            return
        self._unset_keepalive_if_required()
        if self._in_head and not self._head_bytes:
            # The first byte of a request.
            self.deadline_s = self.loop.time() + self.limits.head_s
        try:
            while data and not self._is_refused and self.parser is not None:
                piece, data = (data, b"") if len(data) <= PIECE_BYTES else (data[:PIECE_BYTES], data[PIECE_BYTES:])
                data = self._feed(piece) + data
        except Refused as refused:
            self._refuse(refused)

    def _feed(self, piece: bytes) -> bytes:
        """Feed one piece to the parser; returns the bytes to feed again."""
        self._has_parsed = self._has_ended = False
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
            # The position of the next head in the piece is unknown, so the whole piece counts.
            self._head_bytes = min(len(piece), self.limits.head_bytes) if self._has_begun else 0
        elif self._in_head:
            self._head_bytes += len(piece)
            if self._head_bytes > self.limits.head_bytes:
                detail = f"the request line and the headers have more than {self.limits.head_bytes} bytes"
                raise Refused(431, "head_too_large", detail)
        elif not self._has_parsed:
            self._silent_bytes += len(piece)
            if self._silent_bytes > MAX_SILENT_BYTES:
                raise Refused(400, "trailers", f"more than {MAX_SILENT_BYTES} bytes of a body are none of its data")
        else:
            self._silent_bytes = 0
        return b""

    def _rest_without_upgrade(self, rest: bytes) -> bytes:
        """Return the request without its upgrade for a new parser, because httptools has lost its body."""
        head, self._upgrade_at = self._upgrade_at, None
        if head is None:
            raise Refused(400, "malformed", "no HTTP/1.1")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in uvicorn
        self._in_head, self._head_bytes = True, 0
        return head + rest

    def on_message_begin(self) -> None:
        """Start a request."""
        super().on_message_begin()
        self._hosts = 0
        self._has_begun = True

    def on_url(self, url: bytes) -> None:
        """Take the target, in one or more parts."""
        self._has_parsed = True
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; ignore a trailer."""
        if not self._in_head:
            return
        if len(self.headers) >= self.limits.headers:
            raise Refused(431, "head_too_large", f"there are more than {self.limits.headers} headers")
        if name.lower() == b"host":
            self._hosts += 1
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check Host (RFC 9112, section 3.2: HTTP/1.1 needs one) and limits; remove an upgrade and parse again."""
        self._has_parsed = True
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
        self.scope["extensions"] = cast("dict[str, dict[object, object]]", {EXTENSION: WholeMessages(self.cycle)})
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
        """Start a chunk."""
        self._has_parsed = True

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._has_parsed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if self._upgrade_at is not None:
            return
        self._has_parsed = self._has_ended = True
        self._has_begun = False
        self._in_head, self._head_bytes, self._silent_bytes = True, 0, 0
        self.deadline_s = float("inf")
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Start the write deadline: the client leaves answers unread."""
        super().pause_writing()
        self._write_deadline_s = self.loop.time() + self.limits.write_s

    def resume_writing(self) -> None:
        """Clear the write deadline: the client reads again."""
        super().resume_writing()
        self._write_deadline_s = float("inf")

    def close_if_overdue(self, now_s: float) -> None:
        """End the connection after its deadline, with 408 if a request has begun."""
        if self.transport.is_closing():
            return
        if now_s >= self._write_deadline_s:
            _count("write_timeout")
            self.transport.abort()
        elif now_s < self.deadline_s:
            return
        elif self._is_refused:
            self.transport.abort()
        elif not self._in_head and self.cycle.response_complete:
            # The request was answered before its body was complete, and the body does not end.
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
        """Answer, unless another answer has begun, and end the connection."""
        _count(refused.reason)
        if refused.reason != "connections":
            _refusal_log.log(logging.INFO, "%d, %s: %r", refused.status, refused.reason, refused.detail, extra={})
        self._is_refused = True
        self.deadline_s = self.loop.time() + DISCARD_S
        cycle = self.cycle
        is_answering = cycle is not None and not cycle.response_complete
        # The client would mistake this answer for the one to the previous request, if that is still in progress.
        if not is_answering or not (cycle.response_started or self._in_head or self.pipeline):
            self.transport.write(_answer(refused))
        if is_answering:
            # Signals the disconnect to the application.
            cycle.disconnected = True
            cycle.message_event.set()
        self.pipeline.clear()
        self.flow.resume_reading()
        self.transport.write_eof()

    def _drop(self, data: bytes) -> None:
        self._dropped_bytes += len(data)
        if self._dropped_bytes > DISCARD_BYTES:
            self.transport.abort()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Handle the end of the client's input; True keeps the connection for an answer."""
        cycle = self.cycle
        if self._is_refused or cycle is None or cycle.response_complete or not self._in_head:
            # Our transport flushes first; the event loop would close before an answer that has just been written.
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
    """Check the deadlines of all connections until cancelled; this is cheaper than a timer per request."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(every_s)
        now_s = loop.time()
        for connection in list(state.connections):
            cast(Any, connection).close_if_overdue(now_s)
