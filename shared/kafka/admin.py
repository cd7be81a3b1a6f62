"""Topics of the cluster: wait for the broker at start, create missing topics, check existing ones."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidReplicationFactorError, KafkaError, TopicAlreadyExistsError, for_code

from shared.contracts.errors import Refused, RetryLater, TopicMismatch
from shared.contracts.topics import ALL_TOPICS, TopicSpec
from shared.kafka.aiokafka_patches import require_tested_aiokafka, rethrow_unknown_controller
from shared.kafka.errors import is_refusal
from shared.runtime.health import Health
from shared.runtime.retry import retry_until_available
from shared.runtime.settings import ServiceSettings

log = logging.getLogger("gaitway.kafka")

REQUEST_TIMEOUT_MS = 10_000


@asynccontextmanager
async def open_admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a started admin client and close it afterwards; raises KafkaError."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def wait_for_broker(
    settings: ServiceSettings,
    health: Health,
    start: Callable[[], Awaitable[None]] | None = None,
    *,
    keep_alive: bool = False,
) -> None:
    """Retry until the broker answers, all topics match the contract and ``start`` has succeeded.

    Raises:
        TopicMismatch: a topic has another partition count or another setting.
        Stop: the installed aiokafka is not the tested version.
    """
    require_tested_aiokafka()

    async def attempt() -> None:
        await ensure_topics(settings.kafka, settings.topic_prefix, settings.partitions, settings.replication_factor)
        if start is not None:
            await start()

    await retry_until_available(attempt, health, "kafka", log, keep_alive=keep_alive)
    log.info("connected to Kafka at %s", settings.kafka)


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
        async with open_admin(bootstrap_servers) as admin:
            wanted = {prefix + spec.name: spec for spec in specs}
            missing = sorted(set(wanted) - set(await admin.list_topics()))
            await _create(admin, {name: wanted[name] for name in missing}, partitions, replication_factor)
            await _check(admin, wanted, partitions)
    except (KafkaError, TimeoutError) as error:
        kind = Refused if is_refusal(error) else RetryLater
        raise kind(f"Kafka at {bootstrap_servers}: {error!r}") from error


async def message_limits(bootstrap_servers: str, prefix: str, specs: tuple[TopicSpec, ...]) -> dict[str, int]:
    """Return the largest batch of each topic in bytes, by name without prefix; raises KafkaError."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, prefix + spec.name) for spec in specs]
    limits: dict[str, int] = {}
    async with open_admin(bootstrap_servers) as admin:
        for response in await admin.describe_configs(asked):
            for code, _, _, name, entries, *_ in (resource[:5] for resource in response.resources):
                if code != 0:
                    raise for_code(code)(name)
                settings = {entry[0]: entry[1] for entry in entries}
                limits[name.removeprefix(prefix)] = int(settings["max.message.bytes"])
    return limits


async def _create(
    admin: AIOKafkaAdminClient, specs: dict[str, TopicSpec], partitions: int, replication_factor: int
) -> None:
    if not specs:
        return
    topics = [
        NewTopic(name, partitions, replication_factor, topic_configs=spec.full_config()) for name, spec in specs.items()
    ]
    with rethrow_unknown_controller():
        response = await admin.create_topics(topics)
    for name, code, *message in response.topic_errors:
        error_type = for_code(code)
        # Another service may create the same topic at the same moment; _check then checks the settings.
        if code == 0 or error_type is TopicAlreadyExistsError:
            continue
        text = f"topic {name} could not be created: {error_type.__name__} {' '.join(map(str, message))}"
        # Too few brokers for the replication factor: other brokers may still be starting.
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
                # A broker may not know yet of a topic that another one created a moment ago.
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
    """Compare two values; a list such as cleanup.policy has no fixed order."""
    return actual is not None and sorted(actual.split(",")) == sorted(wanted.split(","))
