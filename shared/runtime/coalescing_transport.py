"""uvicorn's HTTP protocol with one write for an answer, where uvicorn has one for its head and one for its body.

A write is a system call, and with TCP_NODELAY a packet too.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class CoalescingTransport:
    """A transport that hands on as one what is written to it in one turn of the event loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._call_soon = asyncio.get_running_loop().call_soon
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Goes out before the event loop waits for anything."""
        if not self._pieces:
            self._call_soon(self._flush)
        self._pieces.append(data)

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._transport.write(b"".join(pieces))

    def write_eof(self) -> None:
        """After what has been written; what the client still sends is read."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """After what has been written."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CoalescingHttpProtocol(HttpToolsProtocol):
    """For ``uvicorn.Config(http=...)``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """uvicorn writes through ours from now on."""
        super().connection_made(cast("asyncio.Transport", CoalescingTransport(transport)))
