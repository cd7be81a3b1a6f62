"""A server as a child process, which never outlives the process that started it."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, ClassVar, Self

from gaitway.embedded import parent_watchdog
from gaitway.embedded.errors import StackError
from gaitway.embedded.ports import free_port, port_is_free

_POLL_S = 0.02
_STOP_S = 10.0
_TAIL_LINES = 20


class ServerProcess(ABC):
    """One server on one port, its files in one folder; a context manager that starts and stops it.

    data_dir: kept when given; by default a temporary folder that stop() removes. port: by default a free one. It is
    chosen once, so kill() and start() keep the address and the data.
    """

    name: str
    log_name: str
    ready_line: str
    """Text that the server logs once it serves; an open port could be another process's."""
    start_timeout_s: ClassVar[float] = 120.0

    def __init__(self, data_dir: Path | str | None = None, *, port: int | None = None, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = free_port(host) if port is None else port
        self._given_dir = None if data_dir is None else Path(data_dir).absolute()
        self._dir: Path | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @abstractmethod
    def _command(self, data_dir: Path) -> list[str]:
        """Prepare the folder; returns the command line of the server."""

    def _environment(self) -> dict[str, str] | None:
        """The server's environment; None: that of this process."""
        return None

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the running server; StackError when it does not run."""
        if self._child is None or not self.running:
            raise StackError(f"{self.name} does not run")
        return self._child.pid

    @property
    def data_dir(self) -> Path:
        """The folder of this server's files, its log among them; StackError when there is none yet."""
        folder = self._given_dir or self._dir
        if folder is None:
            raise StackError(f"{self.name} was not started: it has no folder yet")
        return folder

    @property
    def log_path(self) -> Path:
        """The server's log, appended to by every start."""
        return self.data_dir / self.log_name

    def log_since_start(self) -> str:
        """What the server has logged since its last start."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def start(self) -> Self:
        """Start the server and return once it serves; StackError when it cannot."""
        if self.running:
            raise StackError(f"{self.name} runs already, as process {self.pid}")
        if not port_is_free(self.port, self.host):
            raise self._port_in_use()
        self._reap()
        try:
            folder = self._make_folder()
            with self._open_log() as log:
                self._launch(self._command(folder), folder, log)
            self._wait_until_ready()
        except OSError as error:
            self.stop()
            raise StackError(f"{self.name} cannot start: {error}") from error
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ask the server to end, kill it if it does not within 10 s, and remove a temporary folder."""
        if self._child is not None:
            self._child.terminate()
            try:
                self._child.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._reap()
        if self._dir is not None:
            shutil.rmtree(self._dir, ignore_errors=True)
            self._dir = None

    def kill(self) -> None:
        """End the server with SIGKILL and keep its data: a crash, for tests. start() brings it back."""
        if self._child is not None:
            self._child.kill()
        self._reap()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_folder(self) -> Path:
        if self._given_dir is None:
            self._dir = self._dir or Path(tempfile.mkdtemp(prefix="gaitway-"))
            return self._dir
        self._given_dir.mkdir(parents=True, exist_ok=True)
        return self._given_dir

    def _open_log(self) -> BinaryIO:
        # The server inherits the lock with its output and holds it as long as it lives, even if this process dies: a
        # second Kafka on the same folder would damage its data.
        log = self.log_path.open("ab")
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.close()
            raise StackError(f"{self.name} cannot start: another one uses the folder {self.data_dir}") from None
        self._log_start = log.tell()
        return log

    def _launch(self, command: list[str], folder: Path, log: BinaryIO) -> None:
        # A session of its own: Ctrl-C in a terminal reaches only the parent, which stops its servers last.
        self._child = subprocess.Popen(  # noqa: S603 - a command line of our own making
            command,
            cwd=folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        command = [sys.executable, "-I", "-S", parent_watchdog.__file__, str(os.getpid()), str(self._child.pid)]
        self._watchdog = subprocess.Popen(  # noqa: S603
            command if self._dir is None else [*command, str(self._dir)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # an inherited one would keep readers of the dead parent's stderr waiting
            start_new_session=True,
        )

    def _wait_until_ready(self) -> None:
        assert self._child is not None
        deadline = time.monotonic() + self.start_timeout_s
        while self.ready_line not in (log := self.log_since_start()):
            if (code := self._child.poll()) is not None:
                if "address already in use" in log.lower():  # taken since free_port()
                    raise self._port_in_use()
                raise self._failure(f"ended while starting (exit code {code})", log)
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready after {self.start_timeout_s:.0f} s", log)
            time.sleep(_POLL_S)

    def _port_in_use(self) -> StackError:
        return StackError(f"{self.name} cannot start: port {self.port} on {self.host} is in use")

    def _failure(self, what: str, log: str) -> StackError:
        lines = [line.rstrip() for line in log.splitlines() if line.strip()]
        causes = [line for line in lines if "Exception: " in line or "Error: " in line] or lines
        error = StackError(f"{self.name} {what}: {causes[-1].strip() if causes else 'it logged nothing'}")
        error.add_note("\n".join(lines[-_TAIL_LINES:]))
        return error

    def _reap(self) -> None:
        """Wait for the ended child and its watchdog."""
        for process in (self._child, self._watchdog):
            if process is not None:
                process.wait()
        self._child = self._watchdog = None
