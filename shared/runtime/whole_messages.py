"""An ASGI extension for requests and responses in one piece: no event per message, no dictionary, no copy.

A request of some KB has arrived whole when the application starts, and its response is one write. Whatever is not that
simple falls back to ASGI's ``receive`` and ``send``.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

EXTENSION = "gaitway.whole_messages"
"""The key in ``scope["extensions"]``; another ASGI server has no such key."""

Headers = list[tuple[bytes, bytes]]


class WholeMessages:
    """The body and the answer of one request on uvicorn's protocol; private parts of uvicorn."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def take_body(self) -> bytes | None:
        """Return the whole body, once; None if it has not arrived, or its client waits for a "100 Continue"."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        cycle.message_event.clear()
        return body

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Write the whole response; False, and nothing is written, where ``send`` must do it.

        Names and values of ``headers`` are valid, names in lower case; "content-length" is added.
        """
        cycle = self._cycle
        if (
            cycle.disconnected
            or cycle.response_started
            or not cycle.keep_alive
            or cycle.flow.write_paused
            or cycle.more_body
        ):
            return False
        lines = [
            b"%b: %b\r\n" % header
            for header in (*cycle.default_headers, (b"content-length", b"%d" % len(body)), *headers)
        ]
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(b"".join((STATUS_LINE[status], *lines, b"\r\n", body)))
        cycle.message_event.set()
        cycle.on_response()
        return True


def whole_messages(scope: Any) -> WholeMessages | None:
    """Return the extension, if the server of this request has it."""
    found: WholeMessages | None = scope.get("extensions", {}).get(EXTENSION)
    return found
