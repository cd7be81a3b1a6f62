"""The canary's settings: what is wrong is named."""

import subprocess
import sys

import pytest

from gaitway.canary.run import Canary
from gaitway.canary.settings import CanarySettings
from shared.contracts.errors import SettingsError
from shared.contracts.token import make_token
from shared.kafka.health import ConsumerHealth

KEY = "a key for tests, of 32 bytes and more"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "GAITWAY_JWT_KEY or GAITWAY_TOKEN, one of the two"),
        ({"jwt_key": KEY, "token": "t"}, "GAITWAY_JWT_KEY or GAITWAY_TOKEN, one of the two"),
        ({"jwt_key": KEY, "late_after_s": 60, "missing_after_s": 60}, "GAITWAY_MISSING_AFTER_S"),
        ({"jwt_key": KEY, "gateway": "here:8080"}, "GAITWAY_GATEWAY"),
    ],
)
def test_what_is_wrong_is_named(settings, says):
    with pytest.raises(SettingsError, match=says):
        CanarySettings.read(**settings)


def test_the_user_is_the_instance_or_whom_the_token_names():
    assert Canary(CanarySettings.read(jwt_key=KEY, instance="eu-1"), ConsumerHealth()).user == "canary-eu-1"
    assert Canary(CanarySettings.read(token=make_token(KEY, "canary-7")), ConsumerHealth()).user == "canary-7"


def test_a_token_that_is_none():
    with pytest.raises(SettingsError, match="GAITWAY_TOKEN is no token"):
        Canary(CanarySettings.read(token="abc"), ConsumerHealth())


def test_secrets_are_not_shown():
    assert KEY not in str(CanarySettings.read(jwt_key=KEY).model_dump())


def test_it_needs_no_torch() -> None:
    code = "import sys, gaitway.canary.run; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
