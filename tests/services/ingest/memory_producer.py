"""A producer without Kafka, for tests of the HTTP side."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.contracts.errors import RetryLater
from shared.contracts.samples import SampleRecord


@dataclass
class MemoryProducer:
    """Keeps what it is given; ``error`` is raised instead while it is set."""

    published: list[tuple[str, SampleRecord, bytes]] = field(default_factory=list)
    error: RetryLater | None = None

    async def publish(self, user: str, records: Sequence[SampleRecord], traceparent: bytes) -> None:
        """Append (user, record, traceparent) per record."""
        if self.error is not None:
            raise self.error
        self.published += [(user, record, traceparent) for record in records]
