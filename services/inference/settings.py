"""Settings of the inference service."""

from pathlib import Path

from pydantic import Field

from shared.runtime.settings import ConsumerSettings, Port


class InferenceSettings(ConsumerSettings):
    """See ServiceSettings; the variable of a field is GAITWAY_ and its name in capitals."""

    model: Path = Field(Path("models/default"), description="folder of the model bundle")
    health_port: Port = Field(8083, description="port of /metrics, /healthz, /readyz")
    transaction_interval_ms: int = Field(250, ge=10, le=10_000, description="between two transactions of a partition")
    transaction_timeout_ms: int = Field(10_000, ge=1_000, le=900_000, description="the broker aborts it after this")
    max_poll_records: int = Field(2_000, ge=1, le=10_000, description="records of one poll")
    torch_threads: int = Field(1, ge=1, le=64, description="threads of one forward pass")
