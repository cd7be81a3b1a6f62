"""Settings from the environment: one frozen object per service, read once; all names have the same prefix."""

import logging
import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.contracts.errors import SettingsError
from shared.contracts.window import HOPS_MS
from shared.runtime.environment import PREFIX, check_variables

Port = Annotated[int, Field(ge=0, le=65_535)]

_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/,\[\]]+)(:(?P<port>[0-9]{1,6}))?")


def is_broker(text: str) -> bool:
    """Return whether ``text`` is the address of a Kafka broker, HOST:PORT; the default port is 9092."""
    found = _BROKER.fullmatch(text)
    return found is not None and 0 < int(found["port"] or 9092) <= 65_535


class ServiceSettings(BaseSettings):
    """Settings of all services. The variable of a field is GAITWAY_ and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    kafka: str = Field("127.0.0.1:9092", min_length=3, description="bootstrap servers, HOST:PORT[,HOST:PORT]")
    topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]*$", description="prefix of every topic and consumer group")
    partitions: int = Field(12, ge=1, le=1000, description="partition count of every topic")
    replication_factor: int = Field(1, ge=1, le=9, description="replicas of the topics that a service creates at start")
    hop_ms: int = Field(10_000, description="distance of two window starts: 10000 (50 % overlap) or 20000 (none)")
    phase_per_user: bool = Field(
        True, description="each user's windows have their own phase of the hop; false: all start at multiples of it"
    )
    health_host: str = Field("127.0.0.1", description="address of /metrics, /healthz, /readyz")
    instance: str = Field("0", pattern=r"^[a-zA-Z0-9._-]+$", description="stable name of this worker in its group")
    log_level: str = Field("INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$", description="lowest level that is logged")
    log_format: Literal["text", "json", "auto"] = Field("text", description="auto: text on a terminal, else json")

    def model_post_init(self, _context: Any, /) -> None:
        """Check what pydantic's field types cannot express."""
        if self.hop_ms not in HOPS_MS:
            raise ValueError(f"{PREFIX}HOP_MS must be 10000 or 20000, not {self.hop_ms}")

    @field_validator("kafka")
    @classmethod
    def _addresses(cls, servers: str) -> str:
        for server in servers.split(","):
            if not is_broker(server.strip()):
                raise ValueError(f"{server!r} is not HOST:PORT")
        return servers

    @classmethod
    def read(cls, **overrides: Any) -> Self:
        """Read the settings from the environment, with overrides by field name.

        Raises:
            SettingsError: names each missing or wrong variable, and each unknown one that begins with GAITWAY_.
        """
        check_variables(cls.model_fields)
        try:
            return cls(**overrides)
        except ValidationError as error:
            # Not chained: pydantic's text contains the input, which may be a secret that is too short.
            raise SettingsError("; ".join(cls._line(item) for item in error.errors())) from None

    def log(self, logger: logging.Logger) -> None:
        """Log every setting once; secrets are masked by their type."""
        logger.info("settings: %s", " ".join(f"{name}={value}" for name, value in self.model_dump().items()))

    @classmethod
    def _line(cls, error: Any) -> str:
        name = PREFIX + "_".join(str(part) for part in error["loc"]).upper() if error["loc"] else "settings"
        field = cls.model_fields.get(str(error["loc"][0])) if error["loc"] else None
        secret = field is not None and field.annotation is SecretStr
        value = error.get("input")
        shown = "" if secret or isinstance(value, dict) or error["type"] == "missing" else f" (got {value!r})"
        return f"{name}: {error['msg']}{shown}"


class ConsumerSettings(ServiceSettings):
    """Additional settings of a service that reads from Kafka."""

    session_timeout_ms: int = Field(10_000, ge=1_000, le=300_000, description="session timeout of the consumer group")
    stalled_after_s: float = Field(
        60.0, ge=10, description="time without progress of a partition after which /healthz returns 503"
    )
    dlq_max_ratio: float = Field(0.5, gt=0, le=1, description="ratio of rejected records above which the service stops")
    dlq_min_records: int = Field(200, ge=1, description="records read before that ratio is first checked")
