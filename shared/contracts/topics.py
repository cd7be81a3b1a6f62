"""The topics: names, retention, timestamp type. shared/kafka/admin.py creates and checks them."""

from dataclasses import dataclass, field

from shared.contracts.modality import MODALITIES
from shared.contracts.time_limits import DAY_MS, HOUR_MS

MAX_REJECTED_BYTES = 2 * 1024**2


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic without prefix; every topic has the same partition count and the user as key."""

    name: str
    retention_ms: int
    config: dict[str, str] = field(default_factory=dict)

    def full_config(self) -> dict[str, str]:
        """Return the topic settings under the broker's names."""
        return {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)} | self.config


# The merge sorts by log time. LogAppendTime takes it from a broker's clock, one per partition.
SAMPLE_TOPICS = {
    m.name: TopicSpec(f"watch.{m.name}", 7 * DAY_MS, {"message.timestamp.type": "LogAppendTime"}) for m in MODALITIES
}
GAPS = TopicSpec("watch.gaps", 30 * DAY_MS)
# A rejected record is as large as its own topic allowed, plus its headers.
REJECTED = TopicSpec("watch.rejected", 14 * DAY_MS, {"max.message.bytes": str(MAX_REJECTED_BYTES)})
WINDOWS = TopicSpec("activity.windows", HOUR_MS, {"retention.bytes": str(8 * 1024**3)})
EVENTS = TopicSpec("activity.events", 30 * DAY_MS)
# What a shadow model says of the windows that have an event; a comparison takes days, not weeks.
SHADOW_EVENTS = TopicSpec("activity.events.shadow", 7 * DAY_MS)
LEDGER = TopicSpec("activity.ledger", 8 * DAY_MS, {"cleanup.policy": "compact,delete"})

ALL_TOPICS = (*SAMPLE_TOPICS.values(), GAPS, REJECTED, WINDOWS, EVENTS, SHADOW_EVENTS, LEDGER)
