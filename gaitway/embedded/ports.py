"""Ports on this host."""

import itertools
import secrets
import socket

# Below the range from which Linux takes the ports of outgoing connections (32768 and up): nobody's connection can
# occupy such a port before its server binds it, and a client that retries a dead server cannot connect to itself.
_CANDIDATES = itertools.cycle(secrets.SystemRandom().sample(range(20_000, 30_000), 10_000))


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
    """Return a port on which nothing listens; one process gets each port once."""
    return next(port for port in _CANDIDATES if port_is_free(port, host))
