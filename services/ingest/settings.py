"""Settings of ingest."""

from pydantic import Field, SecretStr, field_validator

from shared.contracts.token import MIN_KEY_BYTES
from shared.runtime.settings import Port, ServiceSettings


class IngestSettings(ServiceSettings):
    """Settings of ingest; see ServiceSettings."""

    host: str = Field("127.0.0.1", min_length=1, description="listen address for uploads")
    port: Port = Field(8080, description="0 takes any free port")
    jwt_key: SecretStr = Field(description="HS256 key of the bearer tokens, 32 bytes or more")
    token_cache_size: int = Field(100_000, ge=1, description="verified tokens remembered, 0.4 KB each")
    max_body_bytes: int = Field(1024**2, ge=1024, le=16 * 1024**2, description="largest upload, also after gunzip")
    max_head_bytes: int = Field(16 * 1024, ge=1024, le=1024**2, description="largest request line with its headers")
    max_headers: int = Field(100, ge=10, le=10_000, description="headers of one request at most")
    head_timeout_s: float = Field(10.0, gt=0, le=3_600, description="time limit for the head of a request")
    body_timeout_s: float = Field(30.0, gt=0, le=3_600, description="time limit for its body")
    write_timeout_s: float = Field(30.0, gt=0, le=3_600, description="time that a client may leave answers unread")
    idle_timeout_s: int = Field(75, ge=6, le=3_600, description="time that a connection may be idle")
    max_connections: int = Field(20_000, ge=1, description="open connections; further ones are answered 503")
    max_in_flight_per_user: int = Field(64, ge=1, description="concurrent uploads of one user, at most")
    tick_ms: int = Field(1_000, ge=20, le=60_000, description="time between two ticks in every partition")
    linger_ms: int = Field(50, ge=0, le=1_000, description="time to collect records for a batch")
    publish_timeout_ms: int = Field(3_000, ge=100, description="time limit of an answer; watches give up after 4 s")
    buffer_bytes: int = Field(32 * 1024**2, ge=1024**2, description="unacknowledged bytes of records, at most")

    @field_validator("jwt_key")
    @classmethod
    def _long_enough(cls, key: SecretStr) -> SecretStr:
        size = len(key.get_secret_value().encode())
        if size < MIN_KEY_BYTES:
            raise ValueError(f"needs {MIN_KEY_BYTES} bytes or more, has {size}")
        return key
