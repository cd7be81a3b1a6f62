"""The dashboards' JSON: made by the code, complete, and laid out without a gap."""

import json
from itertools import pairwise

import pytest
import yaml

from deploy.grafana.__main__ import FOLDER, dashboards
from deploy.grafana.panels import UIDS, Limits

BOARDS = {name: json.loads(text) for name, text in dashboards().items()}
PANELS = {f"{board['uid']} {panel['title']}": panel for board in BOARDS.values() for panel in board["panels"]}


def test_committed_json_is_what_the_code_makes() -> None:
    assert {path.name: path.read_text() for path in FOLDER.glob("*")} == dashboards(), "run make dashboards"


def test_uids_are_fixed_and_the_data_source_is_the_only_variable() -> None:
    assert {board["uid"] for board in BOARDS.values()} == set(UIDS)
    for board in BOARDS.values():
        (variable,) = board["templating"]["list"]
        assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")


@pytest.mark.parametrize("name", PANELS)
def test_panel_asks_a_question_and_says_what_to_do(name: str) -> None:
    panel = PANELS[name]
    assert "?" in panel["title"]
    assert len(panel["description"]) > 40
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert target.get("legendFormat") or panel["type"] == "stat"
    if panel["type"] == "stat":
        assert len(panel["fieldConfig"]["defaults"]["thresholds"]["steps"]) == 3


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board["uid"])
def test_panels_fill_the_width_row_by_row(board: dict) -> None:
    places = [panel["gridPos"] for panel in board["panels"]]
    for before, after in pairwise(places):
        beside = (before["x"] + before["w"], before["y"])
        below = (0, before["y"] + before["h"])
        assert (after["x"], after["y"]) == (beside if beside[0] < 24 else below)
    assert places[-1]["x"] + places[-1]["w"] == 24
    assert [panel["id"] for panel in board["panels"]] == list(range(1, len(places) + 1))


def test_limits_turn_red_upwards_or_downwards() -> None:
    assert [(step.value, step.color) for step in Limits(1, 5).steps()] == [(None, "green"), (1, "yellow"), (5, "red")]
    assert [(step.value, step.color) for step in Limits(5, 1).steps()] == [(None, "red"), (1, "yellow"), (5, "green")]


def test_grafana_finds_them_and_prometheus() -> None:
    folder = FOLDER.parent / "provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards" / "gaitway.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    scraped = yaml.safe_load((FOLDER.parents[1] / "prometheus" / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
