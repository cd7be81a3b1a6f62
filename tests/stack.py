"""Where tests take their Kafka and their Redis from: a pytest plugin.

For each of the two, in this order: the address in GAITWAY_TEST_KAFKA (HOST:PORT) or GAITWAY_TEST_REDIS (URL), a
container where a Docker engine answers, the embedded server. A server starts when a test first asks for it, once for
all workers of pytest-xdist: the controlling process owns it and hands out the address. The summary says which it was.
"""

import contextlib
import os
import secrets
import tempfile
import threading
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any, Protocol

import pytest

from gaitway.embedded import KafkaBroker, StackError, ValkeyServer
from tests import containers

_VARIABLES = {"kafka": "GAITWAY_TEST_KAFKA", "redis": "GAITWAY_TEST_REDIS"}


class Stack(Protocol):
    """Hands out the address of "kafka" or "redis"; StackError when it cannot."""

    def address(self, name: str) -> str: ...


class OwnStack:
    """The servers of this process, each started at its first use and ended by close()."""

    def __init__(self) -> None:
        self.origins: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        self._servers = contextlib.ExitStack()

    def address(self, name: str) -> str:
        if name not in self._addresses:
            self._addresses[name], self.origins[name] = self._obtain(name)
        return self._addresses[name]

    def close(self) -> None:
        self._servers.close()

    def _obtain(self, name: str) -> tuple[str, str]:
        if address := os.environ.get(_VARIABLES[name]):
            return address, f"{address} from {_VARIABLES[name]}"
        why = "no Docker engine answers"
        if containers.engine_answers():
            try:
                address, image = self._servers.enter_context(containers.START[name]())
                return address, f"{address}, container {image}"
            except Exception as error:  # of many libraries; a registry that cannot be reached is no reason to stop
                why = f"the container failed: {str(error).splitlines()[0] if str(error) else error!r}"
        if name == "kafka":
            address = self._servers.enter_context(KafkaBroker()).bootstrap_servers
        else:
            address = self._servers.enter_context(ValkeyServer()).url
        return address, f"{address}, embedded ({why})"


class SharedStack:
    """Lets other processes ask for the addresses of a stack, through a Unix socket and a thread."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._folder = tempfile.TemporaryDirectory(prefix="gaitway-tests-")
        self.authkey = secrets.token_hex()
        self.path = str(Path(self._folder.name) / "stack")
        self._listener = Listener(self.path, backlog=64, authkey=self.authkey.encode())
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        _ask(self.path, self.authkey, None)
        self._thread.join()
        self._folder.cleanup()

    def _serve(self) -> None:
        with self._listener:
            while True:
                # What is suppressed is a worker that died while asking.
                with contextlib.suppress(EOFError, ConnectionError), self._listener.accept() as connection:
                    if (name := connection.recv()) is None:
                        connection.send(None)
                        return
                    try:
                        connection.send(self._stack.address(name))
                    except StackError as error:
                        connection.send(error)


class WorkerStack:
    """The stack of the controlling process, as a worker sees it."""

    def __init__(self, path: str, authkey: str) -> None:
        self._path, self._authkey = path, authkey

    def address(self, name: str) -> str:
        answer = _ask(self._path, self._authkey, name)
        if isinstance(answer, StackError):
            raise answer
        return str(answer)


def _ask(path: str, authkey: str, name: str | None) -> Any:
    with Client(path, authkey=authkey.encode()) as connection:
        connection.send(name)
        return connection.recv()


_OWN = pytest.StashKey[OwnStack]()
_SHARED = pytest.StashKey[SharedStack]()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[_OWN] = OwnStack()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist, before it starts, where to ask."""
    stash = node.config.stash
    if _SHARED not in stash:
        stash[_SHARED] = SharedStack(stash[_OWN])
    node.workerinput["stack"] = (stash[_SHARED].path, stash[_SHARED].authkey)


def pytest_unconfigure(config: pytest.Config) -> None:
    for part in (config.stash.get(_SHARED, None), config.stash.get(_OWN, None)):
        if part is not None:
            part.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if origins := config.stash[_OWN].origins:
        terminalreporter.section("servers")
        for name, origin in sorted(origins.items()):
            terminalreporter.line(f"{name}: {origin}")


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> Stack:
    """The servers of the run, for a fixture or a test that starts none needlessly."""
    if hasattr(pytestconfig, "workerinput"):
        return WorkerStack(*pytestconfig.workerinput["stack"])
    return pytestconfig.stash[_OWN]


@pytest.fixture(scope="session")
def kafka(stack: Stack) -> str:
    """Bootstrap address of the run's broker; take topics under topic_prefix."""
    return stack.address("kafka")


@pytest.fixture(scope="session")
def redis_url(stack: Stack) -> str:
    """URL of the run's Redis, database 0; take keys under redis_prefix."""
    return stack.address("redis")


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topics, groups and transactional ids that no other test has."""
    return f"t{secrets.token_hex(4)}-"


@pytest.fixture
def redis_prefix() -> str:
    """A prefix for Redis keys that no other test has."""
    return f"t{secrets.token_hex(4)}:"
