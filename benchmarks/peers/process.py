"""A peer as a child process, with the peers' own packages in front of Gaitway's."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gaitway.embedded.errors import StackError
from gaitway.embedded.process import ServerProcess
from gaitway.paths import PROJECT

PACKAGES = PROJECT / "build" / "peers"


class PeerProcess(ServerProcess):
    """``python -m COMMAND`` with an environment; StackError when it does not start."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], ready_line: str) -> None:
        super().__init__()
        self.name = name
        self.log_name = "peer.log"
        self.ready_line = ready_line
        self._arguments = list(command)
        self._variables = dict(environment)

    def _command(self, data_dir: Path) -> list[str]:  # noqa: ARG002
        if not PACKAGES.is_dir():
            raise StackError(f"{self.name} needs the packages of benchmarks/peers/requirements.lock in {PACKAGES}")
        return [sys.executable, "-m", *self._arguments]

    def _environment(self) -> dict[str, str]:
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return {**threads, **os.environ, "PYTHONPATH": f"{PACKAGES}{os.pathsep}{PROJECT}", **self._variables}
