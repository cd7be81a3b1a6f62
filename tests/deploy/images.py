"""What Dockerfile and docker-compose.yml say that a container gets, and processes that get the same without Docker."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import yaml
from dockerfile_parse import DockerfileParser

from gaitway.embedded.process import ServerProcess

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = ROOT / "docker-compose.yml"

_BASE_PATH = "/usr/local/bin:/usr/bin:/bin"
_IN_IMAGE, _HERE = "/opt/gaitway/bin", str(Path(sys.executable).parent)
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@dataclass
class Image:
    """The configuration of one stage, with what it inherits from the stages below."""

    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _BASE_PATH})
    labels: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    user: str = ""
    stop_signal: str = ""
    exposed: list[int] = field(default_factory=list)
    copied_from: list[str] = field(default_factory=list)
    copied: list[tuple[str, str]] = field(default_factory=list)
    """Paths of this repository and where they go, from the working folder."""
    runs: list[str] = field(default_factory=list)
    """Of this stage and those below, in order."""


def image(target: str) -> Image:
    """One stage of the Dockerfile."""
    stages = _stages()
    chain: list[str] = []
    name = target
    while name in stages:
        chain.insert(0, name)
        name = stages[name][0]
    result = Image()
    for stage in chain:
        for instruction, value in stages[stage][1]:
            _apply(result, instruction, value)
    return result


def _stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    stages: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    lines: list[tuple[str, str]] = []
    with DOCKERFILE.open("rb") as file:
        for item in DockerfileParser(fileobj=file).structure:
            instruction, value = item["instruction"], item["value"]
            if instruction == "FROM":
                base, _, name = value.split()
                lines = []
                stages[name] = base, lines
            else:
                lines.append((instruction, value))
    return stages


def _apply(result: Image, instruction: str, value: str) -> None:
    match instruction:
        case "ENV":
            pairs = dict(word.split("=", 1) for word in shlex.split(value))
            result.environment |= {k: Template(v).safe_substitute(result.environment) for k, v in pairs.items()}
        case "LABEL":
            result.labels |= dict(word.split("=", 1) for word in shlex.split(value))
        case "ENTRYPOINT":
            result.entrypoint = json.loads(value)
        case "CMD":
            result.command = json.loads(value)
        case "HEALTHCHECK":
            result.healthcheck = json.loads(value.partition("CMD")[2])
        case "USER":
            result.user = value
        case "STOPSIGNAL":
            result.stop_signal = value
        case "EXPOSE":
            result.exposed += [int(port) for port in value.split()]
        case "COPY" if value.startswith("--from="):
            result.copied_from.append(value.split()[0].removeprefix("--from="))
        case "COPY":
            *sources, destination = value.split()
            result.copied += [(source, destination) for source in sources]
        case "RUN":
            result.runs.append(value)


def compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """docker-compose.yml with its ${VARIABLES}.

    Raises:
        KeyError: a variable that must be given is not.
    """

    def value(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        if variables.get(name):
            return variables[name]
        if kind == "-":
            return str(default)
        raise KeyError(f"{name}: {default}")

    return yaml.safe_load(_VARIABLE.sub(value, COMPOSE.read_text()))


def own_services(file: Mapping[str, Any]) -> dict[str, Any]:
    """Those services of a compose file that are built from the Dockerfile."""
    return {name: service for name, service in file["services"].items() if "build" in service}


# What `read_only`, `cap_drop: [ALL]` and `no-new-privileges` come to, for a process of this machine.
_CONFINED = """
mount -o remount,bind,ro / || exit 125
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all -- "$@"
"""


class Container(ServerProcess):
    """A service of the compose file as a process: its command line, environment and ports, and nothing else.

    ``addresses``: what stands for host and port of other services. Root file system and capabilities are as the file
    asks for, but the user is this one: another could not read the code.
    """

    log_name = "container.log"
    ready_line = ""

    def __init__(self, name: str, service: Mapping[str, Any], addresses: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.image = image(service["build"]["target"])
        self._command_line = self.image.entrypoint + service.get("command", self.image.command)
        given = {key: self._mapped(value, addresses) for key, value in service.get("environment", {}).items()}
        self._command_line = [self._mapped(word, addresses) for word in self._command_line]
        environment = self.image.environment | given
        self._variables = environment | {"PATH": environment["PATH"].replace(_IN_IMAGE, _HERE), "HOME": "/"}
        port = environment.get("GAITWAY_PORT") or environment["GAITWAY_HEALTH_PORT"]
        super().__init__(folder / name, port=int(port))

    @staticmethod
    def _mapped(text: str, addresses: Mapping[str, str]) -> str:
        for name, address in addresses.items():
            text = text.replace(name, address)
        return text

    def _command(self, data_dir: Path) -> list[str]:
        own_namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
        return [*own_namespace, "sh", "-c", _CONFINED, "sh", *self._command_line]

    def _environment(self) -> dict[str, str]:
        return self._variables

    def run(self, timeout_s: float) -> str:
        """Run to the end; raises CalledProcessError, with what it said."""
        folder = self._make_folder()
        done = subprocess.run(
            self._command(folder),
            cwd=folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        done.check_returncode()
        return done.stdout

    def wait_until_healthy(self, timeout_s: float = 60.0) -> None:
        """Return once the image's health check exits with 0."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            check = subprocess.run(self.image.healthcheck, env=self._variables, capture_output=True, text=True)
            if check.returncode == 0:
                return
            if not self.running or time.monotonic() > deadline_s:
                raise AssertionError(f"{self.name} is not healthy: {check.stderr[-300:]}\n{self._log()[-3000:]}")
            time.sleep(0.2)
