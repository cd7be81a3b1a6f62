"""What a worker makes of the roll-out file, with real bundles."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.inference.rollout import RollOutMonitor
from shared.contracts.errors import BundleError
from shared.model.bundle import MANIFEST, WEIGHTS
from shared.model.rollout import RollOut, write_rollout
from tests.bundles import random_bundle


@pytest.fixture
def models(tmp_path: Path) -> Path:
    random_bundle(tmp_path / "old")
    random_bundle(tmp_path / "new", version="0.0.2", seed=1)
    write_rollout(tmp_path / "rollout.json", RollOut("old"))
    return tmp_path


@pytest.fixture
def write(models: Path) -> Callable[..., None]:
    return lambda *bundles: write_rollout(models / "rollout.json", RollOut(*bundles))


@pytest.fixture
def monitor(models: Path) -> Iterator[RollOutMonitor]:
    monitor = RollOutMonitor(models / "rollout.json", threads=1)
    yield monitor
    monitor.close()


async def names(monitor: RollOutMonitor) -> tuple[str, str | None]:
    """The versions that the worker runs after a look."""
    await monitor.look()
    monitor.take()
    live, shadow = monitor.models
    return live.manifest.version, shadow.manifest.version if shadow else None


def value_of(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def refusals() -> float:
    return sum(value_of("gaitway_inference_refused_bundles_total", role=role) for role in ("live", "shadow"))


async def test_the_file_is_followed(monitor, write):
    assert await names(monitor) == ("0.0.1", None)
    write("old", "new")
    assert await names(monitor) == ("0.0.1", "0.0.2")
    shadow = monitor.models.shadow
    write("new", None, "old")
    assert await names(monitor) == ("0.0.2", None)
    assert monitor.models.live is shadow  # it is not loaded again
    write("old")
    assert await names(monitor) == ("0.0.1", None)
    assert value_of("gaitway_inference_rollout_applied") == 1


async def test_nothing_changes_before_the_consumer_takes_it(monitor, write):
    await names(monitor)
    write("new")
    await monitor.look()
    assert monitor.models.live.manifest.version == "0.0.1"
    # A second change before that replaces the first.
    write("old", "new")
    assert await names(monitor) == ("0.0.1", "0.0.2")
    assert monitor.take() is None


async def test_the_bundles_that_nobody_uses_are_closed(monitor, write):
    await names(monitor)
    old = monitor.models.live
    write("new")
    await names(monitor)
    await monitor.look()
    assert old._thread._shutdown
    assert not monitor.models.live._thread._shutdown


def damage(models: Path) -> None:
    (models / "new" / WEIGHTS).write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (damage, "SHA-256"),
        (lambda models: shutil.rmtree(models / "new"), "No such file"),
        (lambda models: change(models, feature_version=9), "feature_version 9"),
        (lambda models: change(models, label_set="har99"), "har99"),
        (lambda models: change(models, temperature=1e-320), "no finite probability"),
        (lambda models: (models / "rollout.json").write_text("{"), "rollout.json"),
        (lambda models: (models / "rollout.json").unlink(), "rollout.json"),
    ],
    ids=["checksum", "missing", "features", "labels", "outputs", "file", "no file"],
)
async def test_a_live_bundle_that_does_not_fit_is_refused_once_and_the_old_one_stays(
    spoil, says, monitor, models, write, caplog
):
    await names(monitor)
    write("new")
    spoil(models)
    before = refusals()
    for _ in range(2):
        assert await names(monitor) == ("0.0.1", None)
    assert refusals() == before + 1
    assert value_of("gaitway_inference_rollout_applied") == 0
    [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert says in line.message
    assert "random@0.0.1 stays" in line.message


def change(models: Path, **fields: object) -> None:
    manifest = json.loads((models / "new" / MANIFEST).read_text())
    (models / "new" / MANIFEST).write_text(json.dumps(manifest | fields))


async def test_a_bundle_that_was_repaired_is_tried_again(monitor, models, write):
    await names(monitor)
    good = (models / "new" / WEIGHTS).read_bytes()
    write("new")
    damage(models)
    assert await names(monitor) == ("0.0.1", None)
    (models / "new" / WEIGHTS).write_bytes(good)
    assert await names(monitor) == ("0.0.2", None)
    assert value_of("gaitway_inference_rollout_applied") == 1


async def test_a_shadow_that_does_not_fit_leaves_the_live_bundle(monitor, models, write):
    random_bundle(models / "third", version="0.0.3", seed=3)
    write("old", "third")
    assert await names(monitor) == ("0.0.1", "0.0.3")
    damage(models)
    write("third", "new")
    assert await names(monitor) == ("0.0.3", None)
    assert value_of("gaitway_inference_rollout_applied") == 0


async def test_two_models_of_one_name_are_never_run(monitor, models, write, caplog):
    await names(monitor)
    random_bundle(models / "twin", seed=1)
    write("twin")
    assert await names(monitor) == ("0.0.1", None)
    assert "another model than the random@0.0.1" in caplog.text
    write("old", "old")
    assert await names(monitor) == ("0.0.1", None)
    assert "is the live bundle already" in caplog.text


def test_a_broken_live_bundle_stops_the_start_and_a_broken_shadow_does_not(models, write):
    damage(models)
    write("new")
    with pytest.raises(BundleError, match="SHA-256"):
        RollOutMonitor(models / "rollout.json", threads=1)
    write("old", "new")
    RollOutMonitor(models / "rollout.json", threads=1).close()
    (models / "rollout.json").unlink()
    with pytest.raises(BundleError, match=r"rollout\.json"):
        RollOutMonitor(models / "rollout.json", threads=1)
