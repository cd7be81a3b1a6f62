"""HTTP server for an ASGI application inside a running event loop."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from shared.contracts.errors import Stop
from shared.runtime.http_limits import DEFAULT_LIMITS, HttpLimits, close_overdue, limited


class EmbeddedServer(uvicorn.Server):
    """uvicorn with deadlines, without its own signal handlers: the service decides when to stop."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until ``should_exit``."""
        watching = asyncio.create_task(close_overdue(self.server_state))
        try:
            await super().serve(sockets)
        finally:
            watching.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """Open a listening socket; raises Stop with one clear line when the address is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is named; without it an answer in two pieces took 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise Stop(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    sock.set_inheritable(True)
    return sock


def allow_open_files(count: int) -> None:
    """Raise the limit of open files as far as the system allows: a connection counts as one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def server(
    app: ASGIApp, *, limits: HttpLimits = DEFAULT_LIMITS, keep_alive_s: int = 75, grace_s: int = 10
) -> EmbeddedServer:
    """Create a server for ``await server.serve(sockets=[bind(...)])``; set ``should_exit`` to end it.

    Watches upload every 5 s: uvicorn's default keep-alive of 5 s would close each connection just before its next use.
    Requests in flight get ``grace_s`` to finish: without a limit one client with an endless body would block the exit.
    """
    return EmbeddedServer(
        uvicorn.Config(
            app,
            http=limited(limits),
            ws="none",
            loop="none",
            lifespan="off",
            proxy_headers=False,
            access_log=False,
            log_config=None,
            timeout_keep_alive=keep_alive_s,
            timeout_graceful_shutdown=grace_s,
        )
    )


@asynccontextmanager
async def serving(app: ASGIApp, sock: socket.socket, **options: Any) -> AsyncIterator[None]:
    """Serve ``app`` during the block, with the options of `server`; requests in flight finish at its end."""
    http = server(app, **options)
    task = asyncio.create_task(http.serve(sockets=[sock]))
    try:
        yield
    finally:
        http.should_exit = True
        await task
