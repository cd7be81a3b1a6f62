"""The topics of the bus: names, retention, time-stamp type; created on start where missing, a mismatch named."""

import asyncio
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidReplicationFactorError, KafkaError, TopicAlreadyExistsError, for_code

from shared.contracts.errors import Refused, RetryLater, TopicMismatch
from shared.contracts.modality import MODALITIES
from shared.kafka.errors import is_refusal

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAX_REJECTED_BYTES = 2 * 1024**2


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic without prefix; every topic has the same partition count and the user as key."""

    name: str
    retention_ms: int
    config: dict[str, str] = field(default_factory=dict)

    def full_config(self) -> dict[str, str]:
        """Topic settings as the broker names them."""
        return {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)} | self.config


# LogAppendTime makes the broker's clock, one per partition, the time of the log that the merge sorts by.
SAMPLE_TOPICS = {
    m.name: TopicSpec(f"watch.{m.name}", 7 * DAY_MS, {"message.timestamp.type": "LogAppendTime"}) for m in MODALITIES
}
GAPS = TopicSpec("watch.gaps", 30 * DAY_MS)
# A rejected record has the size that its own topic took, and its headers on top.
REJECTED = TopicSpec("watch.rejected", 14 * DAY_MS, {"max.message.bytes": str(MAX_REJECTED_BYTES)})
WINDOWS = TopicSpec("activity.windows", HOUR_MS, {"retention.bytes": str(8 * 1024**3)})
EVENTS = TopicSpec("activity.events", 30 * DAY_MS)
BOUTS = TopicSpec("activity.bouts", 30 * DAY_MS)
LEDGER = TopicSpec("activity.ledger", 8 * DAY_MS, {"cleanup.policy": "compact,delete"})

ALL_TOPICS = (*SAMPLE_TOPICS.values(), GAPS, REJECTED, WINDOWS, EVENTS, BOUTS, LEDGER)


async def ensure_topics(
    bootstrap_servers: str,
    prefix: str,
    partitions: int,
    replication_factor: int,
    specs: tuple[TopicSpec, ...] = ALL_TOPICS,
) -> None:
    """Create the missing topics; check the partition count and the settings of those that exist.

    Raises:
        RetryLater: the broker does not answer.
        TopicMismatch: a topic has another partition count or another setting; the text names all of them.
    """
    try:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=10_000)
        await admin.start()
    except KafkaError as error:
        raise RetryLater(f"Kafka at {bootstrap_servers} does not answer: {error}") from error
    try:
        wanted = {prefix + spec.name: spec for spec in specs}
        missing = sorted(set(wanted) - set(await admin.list_topics()))
        await _create(admin, {name: wanted[name] for name in missing}, partitions, replication_factor)
        await _check(admin, wanted, partitions)
    except (KafkaError, TimeoutError) as error:
        kind = Refused if is_refusal(error) else RetryLater
        raise kind(f"Kafka at {bootstrap_servers}: {error!r}") from error
    finally:
        await admin.close()


async def message_limits(bootstrap_servers: str, prefix: str, specs: tuple[TopicSpec, ...]) -> dict[str, int]:
    """What each topic takes as one batch at most, in bytes, by name without prefix; raises KafkaError."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=10_000)
    try:
        await admin.start()
        asked = [ConfigResource(ConfigResourceType.TOPIC, prefix + spec.name) for spec in specs]
        limits: dict[str, int] = {}
        for response in await admin.describe_configs(asked):
            for code, _, _, name, entries, *_ in (resource[:5] for resource in response.resources):
                if code != 0:
                    raise for_code(code)(name)
                settings = {entry[0]: entry[1] for entry in entries}
                limits[name.removeprefix(prefix)] = int(settings["max.message.bytes"])
    finally:
        await admin.close()
    return limits


async def _create(
    admin: AIOKafkaAdminClient, specs: dict[str, TopicSpec], partitions: int, replication_factor: int
) -> None:
    if not specs:
        return
    topics = [
        NewTopic(name, partitions, replication_factor, topic_configs=spec.full_config()) for name, spec in specs.items()
    ]
    try:
        response = await admin.create_topics(topics)
    except AttributeError as error:
        # aiokafka 0.14 reads the id of a controller that a broker which is just starting does not know yet.
        raise RetryLater("Kafka has no controller yet") from error
    for name, code, *message in response.topic_errors:
        error_type = for_code(code)
        # Another service creates the same topics at the same moment: fine, _check looks at what it made.
        if code == 0 or error_type is TopicAlreadyExistsError:
            continue
        text = f"topic {name} could not be created: {error_type.__name__} {' '.join(map(str, message))}"
        # Too few brokers for the replication factor: the others of the cluster may still be starting.
        if error_type.retriable or error_type is InvalidReplicationFactorError:
            raise RetryLater(text)
        raise TopicMismatch(text)


async def _check(admin: AIOKafkaAdminClient, specs: dict[str, TopicSpec], partitions: int) -> None:
    for _ in range(50):
        described = {topic["topic"]: topic for topic in await admin.describe_topics(list(specs))}
        # A topic that was created a moment ago may have no leader yet.
        if all(topic["error_code"] == 0 and topic["partitions"] for topic in described.values()):
            break
        await asyncio.sleep(0.1)
    else:
        late = [name for name, topic in described.items() if topic["error_code"] != 0 or not topic["partitions"]]
        raise RetryLater(f"Kafka has no leader yet for {', '.join(late)}")
    wrong = [
        f"{name} has {len(described[name]['partitions'])} partitions, not {partitions}"
        for name in specs
        if len(described[name]["partitions"]) != partitions
    ]
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in specs])
    for response in responses:
        for resource in response.resources:
            code, message, _, name, entries = resource[:5]
            if code != 0:
                # Of several brokers one may not have heard of a topic that another made a moment ago.
                text = f"topic {name} could not be described: {for_code(code).__name__} {message or ''}".rstrip()
                raise RetryLater(text) if for_code(code).retriable else TopicMismatch(text)
            actual = {entry[0]: entry[1] for entry in entries}
            wrong += [
                f"{name} has {key}={actual.get(key)}, not {value}"
                for key, value in specs[name].full_config().items()
                if not _same(actual.get(key), value)
            ]
    if wrong:
        raise TopicMismatch("; ".join(wrong))


def _same(actual: str | None, wanted: str) -> bool:
    """Lists such as cleanup.policy come back in any order."""
    return actual is not None and sorted(actual.split(",")) == sorted(wanted.split(","))
