"""Ports on this host."""

import secrets
import socket
import sys
from collections.abc import Iterator

from gaitway.embedded.errors import StackError

# Below the range from which Linux takes the ports of outgoing connections (32768 and up): nobody's connection can
# occupy such a port before its server binds it, and a client that retries a dead server cannot connect to itself.
FIRST, LAST = 20_000, 29_999
BLOCK = 100
"""Ports that a process claims together: one file descriptor for all of them."""


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Say whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of the last server in TIME_WAIT do not count, a listening one does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port on which nothing listens; it is given out once, to one process as long as that one lives.

    So another process takes neither a port whose server is about to start nor that of a server that is killed to be
    started again. Raises StackError when there is none left.
    """
    for port in _CANDIDATES:
        if port_is_free(port, host):
            return port
    raise StackError(f"no port between {FIRST} and {LAST} is free")


def _claimed_ports() -> Iterator[int]:
    for first in secrets.SystemRandom().sample(range(FIRST, LAST, BLOCK), (LAST - FIRST) // BLOCK + 1):
        if _claim(first):
            yield from range(first, first + BLOCK)


def _claim(first: int) -> bool:
    """Whether the block is this process's from now on; the kernel gives it back when the process ends."""
    if sys.platform != "linux":
        return True
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0gaitway-ports-{first}")  # an abstract name: of this network namespace, as ports are, and no file
    except OSError:
        claim.close()
        return False
    claim.detach()  # stays open for as long as the process lives
    return True


_CANDIDATES = _claimed_ports()
