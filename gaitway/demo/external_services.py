"""A broker and a Redis that the demo does not start: check that they answer, and delete the demo's data at the end."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from gaitway.demo.stack import EMBEDDED, Stack
from gaitway.errors import CommandError
from services.features.baseline_store import BaselineStore
from shared.contracts.errors import RetryLater
from shared.contracts.topics import ALL_TOPICS


def check_services(broker: str, redis: str) -> None:
    """Raise CommandError when one of them does not answer."""
    if broker != EMBEDDED:
        asyncio.run(_check_kafka(broker))
    if redis != EMBEDDED:
        asyncio.run(_check_redis(redis))


async def _check_kafka(broker: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker, request_timeout_ms=5_000)
    try:
        await admin.start()
    except (KafkaError, ValueError, OSError) as error:
        raise CommandError(f"Kafka at {broker} does not answer: {error}") from error
    finally:
        await admin.close()


async def _check_redis(redis: str) -> None:
    try:
        store = BaselineStore(redis, "")
    except ValueError as error:
        raise CommandError(f"--redis {redis}: {error}") from error
    try:
        await store.ping()
    except RetryLater as error:
        raise CommandError(f"Redis at {redis} does not answer: {error}") from error
    finally:
        await store.close()


def delete_data(broker: str, redis: str, stack: Stack) -> None:
    """Delete the demo's topics and keys from servers that outlive it."""
    if broker != EMBEDDED:
        asyncio.run(_delete_topics(stack))
    if redis != EMBEDDED:
        asyncio.run(_delete_users(stack))


async def _delete_topics(stack: Stack) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    try:
        await admin.delete_topics([stack.topic_prefix + spec.name for spec in ALL_TOPICS])
    finally:
        await admin.close()


async def _delete_users(stack: Stack) -> None:
    store = BaselineStore(stack.redis, stack.redis_prefix)
    try:
        await store.delete_all()
    finally:
        await store.close()
