"""Settings of the features service."""

from pydantic import Field

from shared.runtime.settings import ConsumerSettings, Port


class FeaturesSettings(ConsumerSettings):
    """Settings of features; see ServiceSettings."""

    redis: str = Field("redis://127.0.0.1:6379/0", pattern=r"^(redis|rediss|unix)://", description="URL of Redis")
    redis_prefix: str = Field("gaitway:", description="prefix of every Redis key")
    grace_s: float = Field(60.0, ge=0.1, le=86_400, description="log time that an incomplete window waits")
    health_port: Port = Field(8082, description="port of /metrics, /healthz, /readyz")
    commit_interval_ms: int = Field(1_000, ge=50, le=60_000, description="time between two commits of offsets")
    max_poll_records: int = Field(20_000, ge=10, le=100_000, description="records of one poll, at most")
    max_buffered_records: int = Field(10_000, ge=100, description="buffered records that pause a topic's partition")
    max_buffered_bytes: int = Field(16 * 1024**2, ge=1024, description="bytes of their samples that pause it")
    max_unsaved_baselines: int = Field(50_000, ge=100, description="updates kept while Redis is unavailable, at most")
    save_after_s: float = Field(25.0, ge=0, le=600, description="log time after which a user's changes go to Redis")
    idle_after_s: float = Field(900.0, ge=1, description="log time after which an idle user leaves memory")
