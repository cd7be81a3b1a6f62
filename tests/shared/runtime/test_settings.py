import logging

import pytest
from pydantic import SecretStr, ValidationError

from services.features.settings import FeaturesSettings
from services.inference.settings import InferenceSettings
from shared.contracts.errors import SettingsError, Stop
from shared.runtime.settings import ServiceSettings


class SecretSettings(ServiceSettings):
    """A service with a secret."""

    key: SecretStr


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    import os

    for name in os.environ:
        if name.startswith("GAITWAY_"):
            monkeypatch.delenv(name)


def test_from_the_environment_with_one_prefix(monkeypatch):
    monkeypatch.setenv("GAITWAY_GRACE_S", "2.5")
    monkeypatch.setenv("GAITWAY_KAFKA", "broker:9092")
    monkeypatch.setenv("GRACE_S", "9")
    settings = FeaturesSettings.read()
    assert (settings.grace_s, settings.kafka, settings.partitions) == (2.5, "broker:9092", 12)
    assert FeaturesSettings.read(grace_s=7).grace_s == 7


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"PARTITIONS": "0"}, ["GAITWAY_PARTITIONS", "0"]),
        ({"GRACE_S": "soon"}, ["GAITWAY_GRACE_S", "soon"]),
        ({"HOP_MS": "5000"}, ["GAITWAY_HOP_MS must be 10000 or 20000, not 5000"]),
        ({"REDIS": "http://x"}, ["GAITWAY_REDIS", "http://x"]),
        ({"TOPIC_PREFIX": "a b"}, ["GAITWAY_TOPIC_PREFIX"]),
        ({"HEALTH_PORT": "99999"}, ["GAITWAY_HEALTH_PORT", "99999"]),
        ({"SAVE_AFTER_S": "-1"}, ["GAITWAY_SAVE_AFTER_S", "-1"]),
        ({"PARTITIONS": "x", "LOG_LEVEL": "LOUD"}, ["GAITWAY_PARTITIONS", "GAITWAY_LOG_LEVEL"]),
    ],
)
def test_a_bad_value_stops_the_start_and_is_named(monkeypatch, variables, named):
    for name, value in variables.items():
        monkeypatch.setenv(f"GAITWAY_{name}", value)
    with pytest.raises(SettingsError) as caught:
        FeaturesSettings.read()
    assert all(part in str(caught.value) for part in named)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, Stop)


def test_settings_are_immutable():
    settings = InferenceSettings.read()
    with pytest.raises(ValidationError):
        settings.partitions = 3


def test_a_secret_is_in_no_log_and_in_no_error(monkeypatch, caplog):
    monkeypatch.setenv("GAITWAY_KEY", "very-secret")
    with caplog.at_level(logging.INFO):
        SecretSettings.read().log(logging.getLogger("gaitway.test"))
    assert "partitions=12" in caplog.text
    assert "very-secret" not in caplog.text
    monkeypatch.setenv("GAITWAY_PARTITIONS", "x")
    with pytest.raises(SettingsError) as caught:
        SecretSettings.read()
    assert "very-secret" not in str(caught.value)
    monkeypatch.delenv("GAITWAY_KEY")
    with pytest.raises(SettingsError, match="GAITWAY_KEY: Field required"):
        SecretSettings.read(partitions=1)
