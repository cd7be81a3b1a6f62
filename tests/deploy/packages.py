"""uv, and what requirements.lock pins."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.images import ROOT

UV = Path(sys.executable).with_name("uv")
NETWORK_IS_AWAY = re.compile(r"error sending request|dns error|offline|client error \(Connect\)", re.IGNORECASE)


def uv(*arguments: object, cwd: Path = ROOT, **variables: object) -> str:
    """Run uv, from its cache if that is enough, and return what it printed."""
    for offline in ("1", "0"):
        environment = {**os.environ, "UV_OFFLINE": offline, **{name: str(value) for name, value in variables.items()}}
        done = subprocess.run([UV, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout
    if NETWORK_IS_AWAY.search(done.stderr) and not os.environ.get("CI"):
        pytest.skip(f"packages cannot be fetched: {done.stderr.splitlines()[0]}")
    raise AssertionError(done.stderr)


def pinned(lines: str) -> set[tuple[str, str]]:
    """Names and versions; a lock has some packages twice, for older and newer Pythons."""
    return set(re.findall(r"^([a-z0-9-]+)==([^ \n]+)", lines, re.MULTILINE))


LOCKED = pinned((ROOT / "requirements.lock").read_text())
