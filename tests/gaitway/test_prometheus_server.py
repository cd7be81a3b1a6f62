"""The Prometheus server of the embedded stack, with Debian's real Prometheus."""

from pathlib import Path

import pytest

from gaitway.embedded import StackError
from gaitway.embedded.prometheus import PrometheusServer, find_prometheus
from tests.debian import program
from tests.e2e.harness import until


@pytest.fixture(autouse=True)
def _installed() -> None:
    program("prometheus", package="prometheus")


def rules(folder: Path, expr: str) -> Path:
    path = folder / "rules.yml"
    path.write_text(f"groups: [{{name: g, rules: [{{record: two, expr: '{expr}'}}]}}]")
    return path


async def test_scrapes_its_targets_and_evaluates_its_rules(tmp_path: Path) -> None:
    with PrometheusServer({"nobody": ["127.0.0.1:1"]}, [rules(tmp_path, "up + 2")], tmp_path / "data") as server:
        await until(lambda: server.query("two"), "the rule's first value")
        (up,) = server.query("up")
        assert (up.labels["job"], up.labels["instance"], up.value) == ("nobody", "127.0.0.1:1", 0)
        assert [sample.value for sample in server.query("two")] == [2]
        assert [sample.value for sample in server.query("scalar(vector(3))")] == [3]
        assert server.query("absent(up)") == []
        with pytest.raises(StackError, match="parse error"):
            server.query("up{")
        server.kill()
        with pytest.raises(StackError, match="does not answer"):
            server.query("up")


def test_a_wrong_rule_is_one_clear_line(tmp_path: Path) -> None:
    server = PrometheusServer({}, [rules(tmp_path, "sum(")], tmp_path / "data")
    with pytest.raises(StackError, match="Prometheus ended while starting"):
        server.start()
    assert not server.running


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match="apt-get install prometheus"):
        find_prometheus()
