"""The catalogue: every metric says what it is and what to do, and the page in docs is made of it."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from typer.testing import CliRunner

from gaitway.cli.operator import app
from shared.runtime import event_loop, metrics
from shared.runtime.metrics import CATALOGUE, SERVICES, registry_of

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
PERSONAL = {"user", "device", "session", "person", "id"}


def test_the_page_in_docs_is_made_of_the_catalogue():
    printed = CliRunner().invoke(app, ["metrics"])
    assert printed.exit_code == 0
    assert printed.output == PAGE.read_text(), "run: gaitway metrics > docs/metrics.md"
    for entry in CATALOGUE:
        assert f"| `{entry.name}" in printed.output


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_every_metric_is_named_by_the_rules_and_says_what_to_do(entry):
    assert re.fullmatch(r"gaitway_[a-z0-9_]+", entry.name)
    assert entry.name.endswith("_total") == (entry.kind == "counter")
    # Base units: what is counted in seconds or a share says so in its name.
    assert ("_seconds" in entry.name) == (entry.unit in ("seconds", "Unix seconds"))
    assert entry.name.endswith("_ratio") == (entry.unit == "ratio")
    assert not PERSONAL & set(entry.labels)
    assert entry.meaning
    assert entry.action.endswith(".")
    assert "|" not in entry.meaning + entry.action
    assert entry.services


def test_a_name_is_there_once():
    names = [entry.name for entry in CATALOGUE]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("service", [*SERVICES, "canary"])
def test_a_service_shows_its_own_part_and_its_process(service):
    families = {family.name for family in registry_of(service).collect()}
    own = {entry.name.removesuffix("_total") for entry in CATALOGUE if service in entry.services}
    assert {name for name in families if name.startswith("gaitway")} == own
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "python_gc_collections"} <= families
    assert f'gaitway_build_info{{service="{service}",version="' in generate_latest(registry_of(service)).decode() or (
        service == "canary"
    )


def test_known_label_values_are_there_before_anything_happens():
    page = generate_latest(registry_of("")).decode()
    for sample in (
        'gaitway_ingest_uploads_total{status="429"}',
        'gaitway_ingest_rejected_uploads_total{modality="steps",reason="rate"}',
        'gaitway_ingest_rejected_uploads_total{modality="none",reason="unauthorised"}',
        'gaitway_features_windows_total{closed_by="grace",modalities="accelerometer+steps"}',
        'gaitway_features_gap_seconds_total{modality="heart_rate",reason="frozen"}',
        'gaitway_features_baselines{modality="heart_rate",state="unavailable"}',
        'gaitway_features_duplicate_samples_total{modality="accelerometer"}',
    ):
        assert f"\n{sample} " in page
    assert "_created" not in page


def test_masks_as_labels():
    assert (
        metrics.modalities_label({"accelerometer": True, "heart_rate": False, "steps": True}) == "accelerometer+steps"
    )
    assert metrics.modalities_label(dict.fromkeys(("accelerometer", "heart_rate", "steps"), False)) == "none"
    assert len(metrics.masks()) == 4


async def test_blocked_event_loop_is_measured(monkeypatch):
    monkeypatch.setattr(event_loop, "EVERY_S", 0.01)
    watching = asyncio.create_task(event_loop.observe_event_loop_lag())
    await asyncio.sleep(0)
    before_s = _sum_s()
    time.sleep(0.3)
    await asyncio.sleep(0.05)
    watching.cancel()
    assert _sum_s() - before_s > 0.2


def _sum_s() -> float:
    (family,) = metrics.LOOP_LAG_SECONDS.collect()
    return next(sample.value for sample in family.samples if sample.name.endswith("_sum"))
