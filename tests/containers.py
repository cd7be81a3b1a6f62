"""The test servers as containers, with the settings of the embedded ones."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gaitway.embedded import KAFKA_VERSION, ONE_NODE, free_port

KAFKA_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
VALKEY_IMAGE = "valkey/valkey:9"


def engine_answers() -> bool:
    """Whether a Docker engine can be used here."""
    # In a process of its own: without an engine the library leaves a socket open, which here would fail a test.
    ask = [sys.executable, "-c", "import docker; docker.from_env(timeout=5).ping()"]
    return subprocess.run(ask, capture_output=True).returncode == 0


@contextmanager
def kafka() -> Iterator[tuple[str, str]]:
    """Run Apache Kafka; yields bootstrap address and image."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    # The address that a broker hands to its clients must be known before it starts: hence a port of our choice.
    port = free_port()
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    address = f"{_host(container.get_docker_client().host())}:{port}"
    properties = ONE_NODE | {
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://{address}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "controller.quorum.voters": "1@localhost:9093",
    }
    container.with_envs(**{f"KAFKA_{key.replace('.', '_').upper()}": value for key, value in properties.items()})
    with container.waiting_for(LogMessageWaitStrategy("Kafka Server started")):
        yield address, KAFKA_IMAGE


@contextmanager
def redis() -> Iterator[tuple[str, str]]:
    """Run Valkey; yields URL and image."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    container = DockerContainer(VALKEY_IMAGE).with_exposed_ports(6379)
    with container.waiting_for(LogMessageWaitStrategy("Ready to accept connections")):
        host = _host(container.get_container_host_ip())
        yield f"redis://{host}:{container.get_exposed_port(6379)}/0", VALKEY_IMAGE


def _host(name: str) -> str:
    return "127.0.0.1" if name == "localhost" else name  # spares clients the attempt over IPv6


START = {"kafka": kafka, "redis": redis}
