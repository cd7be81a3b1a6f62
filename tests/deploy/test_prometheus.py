"""Prometheus' configuration, rules and alerts, by Debian's promtool, and what they lean on."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.grafana.__main__ import dashboards
from gaitway.canary.settings import CanarySettings
from services.features.settings import FeaturesSettings
from services.inference.settings import InferenceSettings
from services.ingest.settings import IngestSettings
from shared.runtime.metrics import CATALOGUE
from tests.debian import program

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "docs" / "operations.md"
PORTS = {
    "ingest": IngestSettings.model_fields["port"].default,
    "features": FeaturesSettings.model_fields["health_port"].default,
    "inference": InferenceSettings.model_fields["health_port"].default,
    "canary": CanarySettings.model_fields["health_port"].default,
}


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


def rules() -> list[dict]:
    return [
        rule for path in (FOLDER / "rules").glob("*.yml") for group in read(path)["groups"] for rule in group["rules"]
    ]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def promtool(*arguments: str | Path) -> None:
    command = [program("promtool", package="prometheus"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_configuration_and_rules_are_valid() -> None:
    promtool("check", "config", FOLDER / "prometheus.yml")


@pytest.mark.parametrize("path", sorted((FOLDER / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_not_before(path: Path) -> None:
    promtool("test", "rules", path)


@pytest.mark.parametrize("path", sorted((FOLDER / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_rule_groups_are_evaluated_in_the_order_of_the_rule_files(path: Path) -> None:
    case = read(path)
    files = [path.parent / name for name in case["rule_files"]]
    assert case["group_eval_order"] == [group["name"] for file in files for group in read(file)["groups"]]


def test_what_a_rule_records_is_recorded_before_it_is_read() -> None:
    """In the order of the rule files, so in that of the tests."""
    path = next((FOLDER / "tests").glob("*.yml"))
    recorded: set[str] = set()
    for file in (path.parent / name for name in read(path)["rule_files"]):
        for rule in (rule for group in read(file)["groups"] for rule in group["rules"]):
            assert set(re.findall(r"\bgaitway:[a-z0-9_:]+", rule["expr"])) <= recorded, rule
            recorded |= {rule["record"]} if "record" in rule else set()
    assert recorded


def test_every_alert_is_tested_both_ways() -> None:
    fires: dict[bool, set[str]] = {True: set(), False: set()}
    for path in (FOLDER / "tests").glob("*.yml"):
        for case in read(path)["tests"]:
            for test in case["alert_rule_test"]:
                fires[bool(test["exp_alerts"])].add(test["alertname"])
    assert fires == {True: set(ALERTS), False: set(ALERTS)}


@pytest.mark.parametrize("name", ALERTS)
def test_alert_says_what_how_bad_and_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert "$value" in alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"


@pytest.mark.parametrize("name", ALERTS)
def test_runbook_says_what_it_means_what_to_look_at_and_what_to_do(name: str) -> None:
    text = RUNBOOKS.read_text()
    assert f"\n### {name}\n" in text
    runbook = re.split(r"\n##+ ", text.partition(f"\n### {name}\n")[2])[0]
    assert runbook.strip().startswith(f"*{ALERTS[name]['labels']['severity']}.*")
    if name != "GaitwayLatencyBudgetBurnsSlowly":  # which is the other one's
        assert "\n- Look: " in runbook
        assert "\n- Do: " in runbook


def test_links_between_runbooks_lead_somewhere() -> None:
    text = RUNBOOKS.read_text()
    anchors = {re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-") for line in headings(text)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def test_runbooks_name_panels_that_exist() -> None:
    titles = set(re.findall(r'"title": "(.+)"', "".join(dashboards().values())))
    runbooks = re.split(r"\n## ", RUNBOOKS.read_text().partition("\n## Alerts\n")[2])[0]
    quoted = {" ".join(words.split()) for words in re.findall(r"\*([A-Z][^*]+\?)\*", runbooks)}
    assert len(quoted) > 15
    assert {name for name in quoted if not any(title.startswith(name) for title in titles)} == set()


def test_runbooks_are_only_of_alerts_that_exist() -> None:
    assert {line for line in headings(RUNBOOKS.read_text()) if line.startswith("Gaitway")} == set(ALERTS)


def test_prometheus_scrapes_the_ports_that_services_listen_on() -> None:
    jobs = {job["job_name"]: job["static_configs"] for job in read(FOLDER / "prometheus.yml")["scrape_configs"]}
    assert jobs == {name: [{"targets": [f"{name}:{port}"]}] for name, port in PORTS.items()}


def test_rules_and_dashboards_use_metrics_that_exist() -> None:
    known = {entry.name for entry in CATALOGUE}
    known |= {f"{e.name}_{end}" for e in CATALOGUE if e.kind == "histogram" for end in ("bucket", "sum", "count")}
    used = metrics_in(*(rule["expr"] for rule in rules()), *dashboards().values())
    assert used - known == set()


def test_every_metric_is_on_a_dashboard() -> None:
    shown = metrics_in(*dashboards().values())
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown} | shown
    assert {entry.name for entry in CATALOGUE} - bases == set()


def metrics_in(*texts: str) -> set[str]:
    return {name for text in texts for name in re.findall(r"\bgaitway_[a-z0-9_]+", text)}
