"""Settings of the features service."""

from pydantic import Field

from shared.runtime.settings import ConsumerSettings, Port


class FeaturesSettings(ConsumerSettings):
    """See ServiceSettings; the variable of a field is GAITWAY_ and its name in capitals."""

    redis: str = Field("redis://127.0.0.1:6379/0", pattern=r"^(redis|rediss|unix)://", description="URL of Redis")
    redis_prefix: str = Field("gaitway:", description="goes before every key")
    grace_s: float = Field(60.0, ge=0.1, le=86_400, description="log time after which an incomplete window closes")
    health_port: Port = 8082
    session_timeout_ms: int = Field(10_000, ge=1_000, le=300_000, description="of the consumer group")
    commit_interval_ms: int = Field(1_000, ge=50, le=60_000)
    max_poll_records: int = Field(20_000, ge=10, le=100_000)
    max_buffered_records: int = Field(10_000, ge=100, description="of one topic and partition before it is paused")
    max_buffered_bytes: int = Field(16 * 1024**2, ge=1024, description="of their samples, likewise")
    max_unsaved_baselines: int = Field(50_000, ge=100, description="kept while Redis is away; then consuming waits")
    idle_after_s: float = Field(900.0, ge=1, description="log time after which a silent user leaves memory")
