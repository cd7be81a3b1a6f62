"""The features service: its parts and their order of shutdown. Only this file uses Faust.

Faust runs the agent that processes batches. Its own consumer, producer and web server are off: its consumer delivers
single records at 80 to 115 us each; in a batch each costs 3 us (docs/decisions/0002-batches-inside-faust.md).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import faust
from faust.app.base import BootStrategy

from services.features.baseline_store import BaselineStore
from services.features.consumer import Batch, BatchConsumer
from services.features.processor import Processor
from services.features.producer import KafkaWindowProducer
from services.features.settings import FeaturesSettings
from shared.contracts import topics
from shared.kafka.admin import wait_for_broker
from shared.kafka.dead_letters import DeadLetterLimit
from shared.kafka.health import ConsumerHealth
from shared.kafka.topic_monitor import TopicMonitor
from shared.runtime.health import health_app
from shared.runtime.http_server import bind, serving
from shared.runtime.service import run_together

STOP_S = 8.0
"""For the batch in hand, the commit, and the end of the consumer and of Faust."""


class _NoFaustKafka(BootStrategy):
    enable_kafka = False
    enable_web = False


class _FaustApp(faust.App):
    BootStrategy = _NoFaustKafka

    def _create_directories(self) -> None:
        """Create no folder for tables: there are no tables, and the working directory may be read-only."""


class FeaturesService:
    """The worker as a process; raises Stop when its health port is in use."""

    def __init__(self, settings: FeaturesSettings) -> None:
        self._settings = settings
        self._health = ConsumerHealth(settings.stalled_after_s, service="features", topic_prefix=settings.topic_prefix)
        self._health.set_unready("kafka", "not connected yet")
        # Redis is first used with the first record; until then it counts as available.
        self._health.set_ready("redis")
        self._store = BaselineStore(settings.redis, settings.redis_prefix)
        self._producer = KafkaWindowProducer(settings.kafka, settings.topic_prefix)
        topic_names = [settings.topic_prefix + spec.name for spec in topics.SAMPLE_TOPICS.values()]
        processor = Processor(
            self._store,
            self._producer,
            self._health,
            topic_names,
            settings.max_unsaved_baselines,
            DeadLetterLimit(settings.dlq_max_ratio, settings.dlq_min_records),
        )
        self._consumer = BatchConsumer(settings, processor, self._health, topic_names)
        used = (*topics.SAMPLE_TOPICS.values(), topics.GAPS, topics.REJECTED, topics.WINDOWS)
        self._topics = TopicMonitor(settings, used, self._health, back=self._consumer.reset)
        self._socket = bind(settings.health_host, settings.health_port)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop``, then finish the current batch, commit and flush.

        Raises:
            Stop: a topic does not match the contract, its records cannot be read, or too many were rejected.
        """
        async with serving(health_app(self._health), self._socket):
            try:
                await run_together(stop.wait(), self._work(), cancel_s=STOP_S)
            finally:
                await self._producer.stop()
                await self._store.close()

    async def _work(self) -> None:
        await wait_for_broker(self._settings, self._health, self._producer.start)
        async with _faust_channel(self._settings, self._consumer.process) as send:
            try:
                await run_together(self._consumer.run(send), self._topics.run())
            finally:
                await self._consumer.stop()


@contextlib.asynccontextmanager
async def _faust_channel(
    settings: FeaturesSettings, process: Callable[[Batch], Awaitable[None]]
) -> AsyncIterator[Callable[[Batch], Awaitable[None]]]:
    """Yield a function that sends a batch into a channel whose Faust agent calls ``process``."""
    app = _FaustApp(
        f"{settings.topic_prefix}features",
        broker=f"kafka://{settings.kafka}",
        store="memory://",
        web_enabled=False,
        topic_disable_leader=True,
    )
    batches = app.channel(maxsize=1)

    @app.agent(batches)
    async def process_batches(stream: Any) -> None:
        async for batch in stream:
            await process(batch)

    async def send(batch: Batch) -> None:
        await batches.send(value=batch)

    await app.start()
    try:
        # Faust's own consumer does this on its first assignment; without it every channel stays blocked.
        app.flow_control.resume()
        yield send
    finally:
        await app.stop()
