"""GAITWAY_ variables: those that are known, and what becomes of the others."""

import re
from pathlib import Path

import pytest

from gaitway.canary.settings import CanarySettings
from services.features.settings import FeaturesSettings
from services.inference.settings import InferenceSettings
from services.ingest.settings import IngestSettings
from shared.contracts.errors import SettingsError
from shared.runtime.environment import OTHERS, SETTINGS, check_variables
from tests.gaitway.cli.command import KEY, failure, gaitway_here

ROOT = Path(__file__).parents[3]
SERVICES = (IngestSettings, FeaturesSettings, InferenceSettings, CanarySettings)
# Names that tests and decisions make up; a name that ends in an underscore is a prefix.
MADE_UP = {"KEY", "GRACE_SECONDS", "HELTH_PORT", "GRACS_S", "LOGLEVEL", "X", ""}


def test_every_setting_is_known_and_nothing_else() -> None:
    fields = {name.upper() for settings in SERVICES for name in settings.model_fields}
    assert fields == SETTINGS
    assert not fields & OTHERS


def test_what_the_files_here_name_is_known() -> None:
    files = [ROOT / "docker-compose.yml", ROOT / "Dockerfile", ROOT / "Makefile", ROOT / "README.md"]
    files += [
        path for folder in ("deploy", "docs", "benchmarks") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    named = {
        name
        for path in files
        if path.suffix in {"", ".yml", ".yaml", ".env", ".md", ".sh", ".py"}
        for name in re.findall(r"GAITWAY_([A-Z_]+)", path.read_text(errors="replace"))
    }
    assert named - MADE_UP <= SETTINGS | OTHERS


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("GAITWAY_HELTH_PORT", "GAITWAY_HELTH_PORT is not a setting; did you mean GAITWAY_HEALTH_PORT?"),
        ("GAITWAY_GRACS_S", "GAITWAY_GRACS_S is not a setting; did you mean GAITWAY_GRACE_S?"),
        ("gaitway_loglevel", "gaitway_loglevel is not a setting; did you mean GAITWAY_LOG_LEVEL?"),
        ("GAITWAY_X", "GAITWAY_X is not a setting"),
        ("GAITWAY_", "GAITWAY_ is not a setting"),
    ],
)
def test_a_name_that_nobody_reads_is_refused(variable: str, says: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(says) + "$"):
        check_variables(environment={"GAITWAY_KAFKA": "k:9092", variable: "1", "OTHER": "1"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GAITWAY_INJECT_FAULT", "no-ledger"),
        ("GAITWAY_TEST_KAFKA", "h:9092"),
        ("gaitway_kafka", "h:9092"),
        # Kubernetes writes these for Services named gaitway and gaitway-ingest.
        ("GAITWAY_SERVICE_HOST", "10.0.0.1"),
        ("GAITWAY_INGEST_SERVICE_PORT_HTTP", "80"),
        ("GAITWAY_INGEST_PORT", "tcp://10.0.0.1:80"),
        ("GAITWAY_INGEST_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("GATEWAY_KAFKA", "h:9092"),
    ],
)
def test_variables_of_other_programs_are_accepted(variable: str, value: str) -> None:
    check_variables(environment={variable: value})


@pytest.mark.parametrize("settings", SERVICES)
def test_settings_are_not_read_beside_a_mistyped_one(settings: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAITWAY_JWT_KEY", KEY)
    monkeypatch.setenv("GAITWAY_TICK_MS", "250")
    settings.read()
    monkeypatch.setenv("GAITWAY_TIC_MS", "250")
    with pytest.raises(SettingsError, match="GAITWAY_TIC_MS is not a setting; did you mean GAITWAY_TICK_MS"):
        settings.read()


@pytest.mark.parametrize("command", [["serve", "ingest"], ["token", "u1"], ["canary"]], ids=lambda words: words[0])
def test_a_command_does_not_start_beside_a_mistyped_one(command: list[str]) -> None:
    line = failure(gaitway_here(*command, jwt_key=KEY, kafak="127.0.0.1:1"))
    assert line == "GAITWAY_KAFAK is not a setting; did you mean GAITWAY_KAFKA?"


def test_help_is_there_all_the_same() -> None:
    assert gaitway_here("token", "--help", kafak="127.0.0.1:1").returncode == 0


@pytest.mark.parametrize("kafka", ["127.0.0.1:abc", "127.0.0.1:99999", "http://here", "a:1,,b:2"])
def test_an_address_of_no_broker_is_named(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAITWAY_KAFKA", kafka)
    with pytest.raises(SettingsError, match=r"GAITWAY_KAFKA: .* is not HOST:PORT"):
        FeaturesSettings.read()
