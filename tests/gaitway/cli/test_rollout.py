"""`gaitway bundle verify` and `gaitway rollout` with real files."""

import json
import shutil
from pathlib import Path

import pytest

from shared.model.bundle import MANIFEST, WEIGHTS
from tests.bundles import random_bundle
from tests.gaitway.cli.command import failure, gaitway_here


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with two bundles that fit and a roll-out file."""
    random_bundle(tmp_path / "old")
    random_bundle(tmp_path / "new", version="0.0.2", seed=1)
    (tmp_path / "rollout.json").write_text('{"live": "old"}')
    return tmp_path


def rollout(models: Path) -> dict[str, str | None]:
    return json.loads((models / "rollout.json").read_text())


def change(models: Path, **fields: object) -> None:
    manifest = json.loads((models / "new" / MANIFEST).read_text())
    (models / "new" / MANIFEST).write_text(json.dumps(manifest | fields))


def test_verify_names_the_bundle_its_classes_and_its_speed(models: Path) -> None:
    done = gaitway_here("bundle", "verify", models / "new")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "random@0.0.2: har7, lying, sitting, standing, walking, running, stairs, cycling"
    assert second.endswith("µs per window in a batch of 32")


def damage_weights(models: Path) -> None:
    weights = models / "new" / WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))


FAULTS = {
    "no folder": (lambda models: shutil.rmtree(models / "new"), "No such file"),
    "checksum": (damage_weights, "SHA-256"),
    "features": (lambda models: change(models, feature_version=9), "feature_version 9, the features are 1"),
    "label set": (lambda models: change(models, label_set="har99"), "label_set 'har99', known are"),
    "classes": (lambda models: change(models, label_set="har2"), "class 'lying' is not in label set har2"),
    "outputs": (lambda models: change(models, temperature=1e-320), "no finite probability"),
    "manifest": (lambda models: (models / "new" / MANIFEST).write_text("{"), "manifest.json"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bundle_that_does_not_fit_is_refused_by_every_command(name: str, models: Path) -> None:
    damage, says = FAULTS[name]
    (models / "rollout.json").write_text('{"live": "old", "shadow": "new", "previous": "new"}')
    before = rollout(models)
    damage(models)
    file = models / "rollout.json"
    for command in (
        ("bundle", "verify", models / "new"),
        ("rollout", "shadow", file, models / "new"),
        ("rollout", "promote", file),
        ("rollout", "rollback", file),
        ("rollout", "status", file),
        ("rollout", "create", models / "other.json", models / "new"),
    ):
        line = failure(gaitway_here(*command))
        assert says in line
        assert str(models) in line
    assert rollout(models) == before
    assert not (models / "other.json").exists()


def test_shadow_promotion_and_rollback(models: Path) -> None:
    file = models / "rollout.json"
    done = gaitway_here("rollout", "shadow", file, models / "new")
    assert done.returncode == 0, done.stderr
    assert rollout(models) == {"live": "old", "shadow": "new", "previous": None}
    assert "shadow   new (random@0.0.2)" in done.stdout
    assert gaitway_here("rollout", "promote", file).returncode == 0
    assert rollout(models) == {"live": "new", "shadow": None, "previous": "old"}
    assert gaitway_here("rollout", "rollback", file).returncode == 0
    assert rollout(models) == {"live": "old", "shadow": None, "previous": None}
    assert "no previous" in failure(gaitway_here("rollout", "rollback", file))
    assert "no shadow" in failure(gaitway_here("rollout", "promote", file))


def test_a_shadow_ends(models: Path) -> None:
    file = models / "rollout.json"
    gaitway_here("rollout", "shadow", file, models / "new")
    assert gaitway_here("rollout", "shadow", file, "--none").returncode == 0
    assert rollout(models)["shadow"] is None
    for arguments in ((), (models / "new", "--none")):
        assert "either a bundle or --none" in failure(gaitway_here("rollout", "shadow", file, *arguments))


def test_a_shadow_needs_a_name_of_its_own(models: Path) -> None:
    random_bundle(models / "twin", seed=1)
    line = failure(gaitway_here("rollout", "shadow", models / "rollout.json", models / "twin"))
    assert "random@0.0.1 is the live bundle's name" in line
    assert rollout(models) == {"live": "old"}


def test_a_new_file_is_written_once(models: Path) -> None:
    (models / "config").mkdir()
    file = models / "config" / "rollout.json"
    assert gaitway_here("rollout", "create", file, models / "new").returncode == 0
    assert json.loads(file.read_text())["live"] == "../new"
    assert "already" in failure(gaitway_here("rollout", "create", file, models / "old"))
    done = gaitway_here("rollout", "status", file)
    assert done.stdout.splitlines() == ["live     ../new (random@0.0.2)", "shadow   none", "previous none"]


def test_a_file_that_is_none_is_named(models: Path) -> None:
    (models / "rollout.json").write_text("[]")
    assert str(models / "rollout.json") in failure(gaitway_here("rollout", "status", models / "rollout.json"))
    assert "nowhere.json" in failure(gaitway_here("rollout", "promote", models / "nowhere.json"))
