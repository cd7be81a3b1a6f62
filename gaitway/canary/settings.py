"""Settings of the canary watch."""

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr

from gaitway.paths import RECORDINGS
from shared.runtime.environment import PREFIX
from shared.runtime.settings import Port, ServiceSettings

RECORDING = RECORDINGS / "e4-f01"


class CanarySettings(ServiceSettings):
    """See ServiceSettings; the variable of a field is GAITWAY_ and its name in capitals."""

    gateway: str = Field("http://127.0.0.1:8080", pattern=r"^https?://[^/]", description="URL of the gateway")
    jwt_key: SecretStr | None = Field(None, description="HS256 key of the gateway: the canary makes its own tokens")
    token: SecretStr | None = Field(None, description="a bearer token instead; the user is its sub")
    recording: Path = Field(RECORDING, description="folder of a recording with all three modalities")
    late_after_s: float = Field(5.0, gt=0, description="from the upload of a window's last sample to its event")
    missing_after_s: float = Field(60.0, gt=0, description="from when a window's last sample was due")
    stalled_after_s: float = Field(60.0, ge=10, description="without progress /healthz says 503")
    health_port: Port = Field(8084, description="port of /metrics, /healthz, /readyz")

    def model_post_init(self, context: Any, /) -> None:
        """Check what pydantic's field types cannot express."""
        super().model_post_init(context)
        if (self.jwt_key is None) == (self.token is None):
            raise ValueError(f"the canary needs {PREFIX}JWT_KEY or {PREFIX}TOKEN, one of the two")
        if self.missing_after_s <= self.late_after_s:
            raise ValueError(f"{PREFIX}MISSING_AFTER_S must be more than {PREFIX}LATE_AFTER_S")
