"""Health of a consuming service: alive while each of its partitions makes progress."""

from dataclasses import dataclass, field

from shared.kafka.lag import PartitionLag
from shared.runtime.health import Health


@dataclass
class ConsumerHealth(Health):
    """Health that also needs progress in each single partition; an assignment counts as progress."""

    topic_prefix: str = ""
    partitions: PartitionLag = field(init=False)

    def __post_init__(self) -> None:
        self.partitions = PartitionLag(self.monotonic, topic_prefix=self.topic_prefix)

    def stalled(self) -> list[str]:
        """Return the partitions without progress, as ``topic/partition``."""
        return self.partitions.stalled(self.stalled_after_s)

    def report(self) -> None:
        """Set the gauges of the partitions."""
        self.partitions.report()
