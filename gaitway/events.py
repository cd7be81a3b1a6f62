"""Read activity events from Kafka, as any consumer would: CloudEvents 1.0 in binary mode, committed ones only.

async with EventReader("127.0.0.1:9092") as events:
    async for event in events:
        print(event.data["user"], event.data["activity"])
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from gaitway.errors import CommandError

TOPIC = "activity.events"
SHADOW_TOPIC = "activity.events.shadow"
_POLL_MS = 200


class EventsError(CommandError):
    """The broker does not answer or has no such topic."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its CloudEvents id, its data (architecture.md, section 8), and its place in the log."""

    id: str
    data: dict[str, Any]
    partition: int
    offset: int
    traceparent: str | None


class EventReader:
    """All partitions of the events topic, without a consumer group.

    ``from_start`` begins with the oldest event in the topic, else with the next one. ``topic``: ``SHADOW_TOPIC`` for
    the events of a shadow model.
    """

    def __init__(
        self, bootstrap_servers: str, *, topic_prefix: str = "", from_start: bool = False, topic: str = TOPIC
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic_prefix + topic
        self._from_start = from_start
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            EventsError: no broker answers, or it has no such topic.
        """
        await check_topic(self._bootstrap_servers, self._topic)
        consumer = AIOKafkaConsumer(
            self._topic,
            bootstrap_servers=self._bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            if not self._from_start:
                # Now, not at the first poll: events published in between must be seen.
                for tp, offset in (await consumer.end_offsets(consumer.assignment())).items():
                    consumer.seek(tp, offset)
        except KafkaError as error:
            await consumer.stop()
            raise _no_answer(self._bootstrap_servers, error) from error
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events for ever, in the order of each partition."""
        while True:
            for event in await self.poll():
                yield event

    async def poll(self) -> list[Event]:
        """Events that have arrived; empty after 0.2 s without one."""
        batches = await self._consumer.getmany(timeout_ms=_POLL_MS)
        return [_event(record) for records in batches.values() for record in records]

    async def find(self, event_id: str) -> Event | None:
        """The first event with this CloudEvents id between the current position and the present end of the log."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
            for event in await self.poll():
                if event.id == event_id:
                    return event
        return None


async def check_topic(bootstrap_servers: str, topic: str) -> None:
    """Check that the topic exists; a consumer would wait 40 s for one that does not.

    Raises:
        EventsError: no broker answers, or it has no such topic.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await admin.start()
        if topic not in await admin.list_topics():
            raise EventsError(f"Kafka at {bootstrap_servers} has no topic {topic}")
    except KafkaError as error:
        raise _no_answer(bootstrap_servers, error) from error
    finally:
        await admin.close()


def _no_answer(bootstrap_servers: str, error: KafkaError) -> EventsError:
    return EventsError(f"Kafka at {bootstrap_servers} does not answer: {error}")


def _event(record: Any) -> Event:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    return Event(
        id=headers.get("ce_id", ""),
        data=json.loads(record.value),
        partition=record.partition,
        offset=record.offset,
        traceparent=headers.get("traceparent"),
    )
