"""Programs of Debian packages that some tests need: installed where the tests run as root, else the test is skipped."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

INSTALL_S = 240


def program(name: str, *, package: str) -> str:
    """Path of a program; skips the test, or fails it where CI is set, when it cannot be had."""
    path = shutil.which(name) or _installed(name, package)
    if path is None:
        lacking = f"{name} is missing: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(lacking)
        pytest.skip(lacking)
    return path


def _installed(name: str, package: str) -> str | None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    # Of several workers one installs and the others find it.
    with (Path(tempfile.gettempdir()) / "gaitway-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if shutil.which(name) is None:
            apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
            quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            for command in ([*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", package]):
                subprocess.run(command, env=quiet, capture_output=True, timeout=INSTALL_S)
    return shutil.which(name)
