"""uvicorn's HTTP protocol with one write per answer; uvicorn itself writes head and body separately.

A write is a system call, and with TCP_NODELAY also a packet.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class CoalescingTransport:
    """A transport that joins all writes of one turn of the event loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._call_soon = asyncio.get_running_loop().call_soon
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Queue data; it is sent before the event loop waits again."""
        if not self._pieces:
            self._call_soon(self._flush)
        self._pieces.append(data)

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._transport.write(b"".join(pieces))

    def write_eof(self) -> None:
        """Send queued data, then end the output; input is still read."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Send queued data, then close."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CoalescingHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol on this transport, for ``uvicorn.Config(http=...)``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wrap the transport for all writes of uvicorn."""
        super().connection_made(cast("asyncio.Transport", CoalescingTransport(transport)))
