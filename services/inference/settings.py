"""Settings of the inference service."""

from pathlib import Path

from pydantic import Field

from shared.runtime.settings import ConsumerSettings, Port


class InferenceSettings(ConsumerSettings):
    """Settings of inference; see ServiceSettings."""

    model: Path = Field(
        Path("models/default"), description="folder of the model bundle; without effect with a roll-out file"
    )
    rollout: Path | None = Field(
        None, description="roll-out file: which bundle is live and which is its shadow, followed while the service runs"
    )
    health_port: Port = Field(8083, description="port of /metrics, /healthz, /readyz")
    transaction_interval_ms: int = Field(250, ge=10, le=10_000, description="interval of a partition's transactions")
    transaction_timeout_ms: int = Field(10_000, ge=1_000, le=900_000, description="a longer transaction is aborted")
    max_poll_records: int = Field(2_000, ge=1, le=10_000, description="records of one poll, at most")
    torch_threads: int = Field(1, ge=1, le=64, description="threads of one forward pass")
