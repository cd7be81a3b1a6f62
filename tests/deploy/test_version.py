"""pyproject.toml holds the version; what cannot read it there has a copy. Those of deploy/k8s: test_kubernetes.py."""

import re
import subprocess
import tomllib
from importlib.metadata import version

from tests.deploy.images import ROOT, compose, image, own_services

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_changelog_begins_with_it():
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == VERSION
    assert len(set(headings)) == len(headings)


def test_the_label_of_the_images_has_it():
    assert image("runtime").labels["org.opencontainers.image.version"] == VERSION


def test_compose_takes_images_of_it():
    own = own_services(compose({"GAITWAY_JWT_KEY": "key"}))
    assert own
    assert {service["image"].partition(":")[2] for service in own.values()} == {VERSION}


def test_the_offline_build_reads_it():
    (line,) = re.findall(r"^version=.*", (ROOT / "deploy/docker/build-offline.sh").read_text(), re.MULTILINE)
    said = subprocess.check_output(["bash", "-c", f"{line}; echo $version"], cwd=ROOT, text=True)
    assert said.strip() == VERSION


def test_this_installation_is_of_it():
    # Metadata are written by `make setup`; gaitway_build_info says what they say.
    assert version("gaitway") == VERSION
