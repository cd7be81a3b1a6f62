"""Where a peer of the ingest stage listens and writes, from the environment."""

import os
from dataclasses import dataclass, fields
from typing import Self

PREFIX = "PEER_"


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The variable of a field is PEER_ and its name in capitals; all must be there."""

    kafka: str
    topic_prefix: str
    port: str
    jwt_key: str
    linger_ms: str

    @classmethod
    def read(cls) -> Self:
        """Settings from the environment; KeyError names a missing variable."""
        return cls(**{field.name: os.environ[PREFIX + field.name.upper()] for field in fields(cls)})

    def environment(self) -> dict[str, str]:
        """The variables of a process that is to read these settings."""
        return {PREFIX + field.name.upper(): getattr(self, field.name) for field in fields(self)}
