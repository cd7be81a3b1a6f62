"""Ports on this host."""

import secrets
import socket
import sys
from collections.abc import Iterator

from gaitway.embedded.errors import StackError

# Below the range from which Linux takes the ports of outgoing connections (32768 and up): no connection can occupy
# such a port before its server binds it, and a client that retries a dead server cannot connect to itself.
FIRST, LAST = 20_000, 29_999
BLOCK = 100
"""Ports that a process claims at once, with one file descriptor."""


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a listening socket blocks the port, old connections in TIME_WAIT do not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port on which nothing listens; no other process gets it while this one lives.

    So nobody else takes the port of a server that is about to start, or that a test kills and starts again. Raises
    StackError when none is left.
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
    """Claim a block of ports; False if another process has it. The kernel releases it when this process ends."""
    if sys.platform != "linux":
        return True
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0gaitway-ports-{first}")  # an abstract socket: belongs to the network namespace, as ports do
    except OSError:
        claim.close()
        return False
    claim.detach()  # stays open for as long as the process lives
    return True


_CANDIDATES = _claimed_ports()
