"""A service, or the canary, as a child process, started as an operator does: with a command and an environment."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from gaitway.embedded.process import ServerProcess

# A service is ready when this is in its log.
_READY = {
    "ingest": "connected to Kafka",
    "features": " partitions ",
    "inference": " partitions ",
    "canary": ", partition ",
}


class ServiceProcess(ServerProcess):
    """A service or the canary; ``environment`` holds its GAITWAY_* variables without the prefix, in lower case."""

    def __init__(
        self, service: str, environment: Mapping[str, object], *, port: int | None = None, data_dir: Path | None = None
    ) -> None:
        super().__init__(data_dir, port=port)
        self._arguments = ["canary"] if service == "canary" else ["serve", service]
        self.name = f"gaitway {' '.join(self._arguments)}"
        self.log_name = f"{service}.log"
        self.ready_line = _READY[service]
        self._variables = {f"GAITWAY_{name.upper()}": str(value) for name, value in environment.items()}
        self._variables["GAITWAY_PORT" if service == "ingest" else "GAITWAY_HEALTH_PORT"] = str(self.port)

    @property
    def url(self) -> str:
        """Address of the service's HTTP."""
        return f"http://{self.host}:{self.port}"

    def _command(self, data_dir: Path) -> list[str]:  # noqa: ARG002
        return [sys.executable, "-m", "gaitway", *self._arguments]

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GAITWAY_")}
        # One BLAS thread each: the services share the machine with a broker.
        return {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **inherited, **self._variables}
