"""One Prometheus server: Debian's package, or any other build on the PATH."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from gaitway.embedded.errors import StackError
from gaitway.embedded.process import ServerProcess

QUERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer: its labels, and its value at the time of the query (may be NaN)."""

    labels: dict[str, str]
    value: float


class PrometheusServer(ServerProcess):
    """A Prometheus that scrapes ``targets`` (by job, HOST:PORT each) every ``interval_s``, and evaluates as often.

    rules: files of recording and alert rules. Raises StackError: no prometheus on the PATH, port in use, invalid rule.
    """

    name = "Prometheus"
    log_name = "prometheus.log"
    ready_line = "Server is ready to receive web requests."

    def __init__(
        self,
        targets: Mapping[str, Sequence[str]],
        rules: Sequence[Path] = (),
        data_dir: Path | str | None = None,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        interval_s: int = 1,
    ) -> None:
        super().__init__(data_dir, port=port, host=host)
        self._config = {
            "global": {"scrape_interval": f"{interval_s}s", "evaluation_interval": f"{interval_s}s"},
            "rule_files": [str(path.resolve()) for path in rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
                for job, addresses in targets.items()
            ],
        }

    @property
    def url(self) -> str:
        """Address of the web pages and the HTTP API."""
        return f"http://{self.host}:{self.port}"

    def query(self, expression: str) -> list[Sample]:
        """Evaluate a PromQL expression now.

        Raises:
            StackError: Prometheus does not answer, or rejects the expression; the message has its reason.
        """
        try:
            answer = httpx.get(
                f"{self.url}/api/v1/query", params={"query": expression}, timeout=QUERY_S, trust_env=False
            ).json()
        except (httpx.HTTPError, ValueError) as error:
            raise StackError(f"Prometheus does not answer: {error!r}") from error
        if answer["status"] != "success":
            raise StackError(f"Prometheus rejects {expression}: {answer['error']}")
        data = answer["data"]
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(series["metric"], float(series["value"][1])) for series in data["result"]]

    def _command(self, data_dir: Path) -> list[str]:
        config = data_dir / "prometheus.yml"
        config.write_text(json.dumps(self._config, indent=2))  # YAML 1.2 contains JSON
        return [
            find_prometheus(),
            f"--config.file={config}",
            f"--storage.tsdb.path={data_dir / 'tsdb'}",
            f"--web.listen-address={self.host}:{self.port}",
        ]


def find_prometheus() -> str:
    """Path of the program; StackError says how to get it."""
    if (path := shutil.which("prometheus")) is None:
        raise StackError("prometheus is not on the PATH: install Debian's package (apt-get install prometheus)")
    return path
