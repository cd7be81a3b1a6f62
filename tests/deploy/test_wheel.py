"""What others get who install the wheel: the client, and what it needs."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.images import ROOT
from tests.deploy.packages import LOCKED, pinned, uv

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
APPLICATION = {"benchmarks", "deploy", "examples", "models", "services", "shared", "tests", "training"}

ASK = """
import importlib.metadata, json, sysconfig
from pathlib import Path
site = Path(sysconfig.get_path("purelib"))
gaitway = importlib.metadata.distribution("gaitway")
print(json.dumps({
    "top level": sorted(path.name for path in site.iterdir()),
    "files": sorted(map(str, gaitway.files)),
    "version": gaitway.version,
}))
"""


@pytest.fixture(scope="module")
def binaries(tmp_path_factory) -> Path:
    """Of an environment with nothing but the wheel, which uv makes from the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--build-constraints", "requirements.lock", "--out-dir", folder / "dist")
    (wheel,) = (folder / "dist").glob("*.whl")
    uv("venv", "--python", sys.executable, folder / "env")
    uv("pip", "install", "-c", "requirements.lock", wheel, VIRTUAL_ENV=folder / "env")
    return folder / "env" / "bin"


def python(binaries: Path, code: str) -> str:
    done = subprocess.run([binaries / "python", "-I", "-c", code], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def client_modules() -> list[str]:
    """Those that import nothing of the pipeline, as import-linter holds them to."""
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (client,) = [one for one in contracts if one["name"].startswith("what others install alone")]
    return client["source_modules"]


def test_the_wheel_brings_the_client_and_no_common_name(binaries):
    found = json.loads(python(binaries, ASK))
    assert "gaitway" in found["top level"]
    assert not APPLICATION.intersection(found["top level"])
    modules = [f"{module.replace('.', '/')}.py" for module in client_modules()]
    own = [file for file in found["files"] if file.startswith("gaitway/") and "__pycache__" not in file]
    assert own == sorted(["gaitway/__init__.py", "gaitway/__main__.py", "gaitway/py.typed", *modules])
    rest = {file.split("/")[0] for file in found["files"]} - {"gaitway", ".."}
    assert rest == {f"gaitway-{found['version']}.dist-info"}


def test_its_version_is_the_projects(binaries):
    assert json.loads(python(binaries, ASK))["version"] == PROJECT["project"]["version"]


def test_it_needs_two_packages_and_what_these_need(binaries):
    have = pinned(uv("pip", "freeze", "--python", binaries / "python"))
    assert have <= LOCKED
    assert {"aiokafka", "numpy"} <= {name for name, _ in have}
    assert {name for name, _ in have} <= {"aiokafka", "async-timeout", "numpy", "packaging", "typing-extensions"}


@pytest.mark.parametrize("module", client_modules())
def test_the_client_can_be_imported(binaries, module):
    assert python(binaries, f"import {module}; print({module}.__file__)").startswith(str(binaries.parent))


@pytest.mark.parametrize("arguments", [[], ["--help"], ["serve", "ingest"]])
def test_the_command_says_that_it_needs_a_checkout(binaries, arguments):
    done = subprocess.run([binaries / "gaitway", *arguments], cwd="/", capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "gaitway: the installed package has only the client (gaitway.events, gaitway.expected); "
        "the command line needs a checkout of the repository or an image\n"
    )
