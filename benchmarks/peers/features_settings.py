"""Where a peer of the features stage reads and writes, from the environment."""

import os
from dataclasses import dataclass, fields
from typing import Self

PREFIX = "PEER_"


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """The variable of a field is PEER_ and its name in capitals; all must be there.

    ``input_prefix`` goes before the names of the JSON topics, ``output`` is the topic of the windows, ``group`` the
    name of the application and its consumer group.
    """

    kafka: str
    input_prefix: str
    output: str
    group: str

    @classmethod
    def read(cls) -> Self:
        """Settings from the environment; KeyError names a missing variable."""
        return cls(**{field.name: os.environ[PREFIX + field.name.upper()] for field in fields(cls)})

    def environment(self) -> dict[str, str]:
        """The variables of a process that is to read these settings."""
        return {PREFIX + field.name.upper(): getattr(self, field.name) for field in fields(self)}
