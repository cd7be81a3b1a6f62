"""The Faust app: worker, lifecycle, a channel of batches and the agent that folds them (architecture.md, section 4)."""

import asyncio
import logging
import signal
from typing import Any

import faust
import uvloop
from faust.app.base import BootStrategy

from services.features.baseline_cache import BaselineCache
from services.features.baseline_store import BaselineStore
from services.features.consumer import Batch, BatchConsumer
from services.features.processor import Processor
from services.features.producer import KafkaWindowProducer
from services.features.settings import FeaturesSettings
from shared.contracts import topics
from shared.contracts.errors import Refused, RetryLater, Stop
from shared.kafka.dead_letters import DeadLetterLimit
from shared.kafka.topic_monitor import TopicMonitor
from shared.runtime import garbage
from shared.runtime.event_loop import watch_event_loop
from shared.runtime.health import Health, health_app
from shared.runtime.http_server import bind, server
from shared.runtime.logging import ThrottledLogger, configure_logging

log = logging.getLogger("gaitway.features")


class _NoFaustKafka(BootStrategy):
    """Faust without its own consumer, producer and web server: the batch source reads, the publisher writes."""

    enable_kafka = False
    enable_web = False


class FeaturesApp(faust.App):
    """A Faust app with that boot strategy; ``failure`` is why it has ended itself."""

    BootStrategy = _NoFaustKafka
    failure: Stop | None = None

    def end(self, failure: Stop) -> None:
        """End in good order, as a signal does: a crash would bury the one clear line under Faust's tracebacks."""
        self.failure = failure
        signal.raise_signal(signal.SIGTERM)

    def _create_directories(self) -> None:
        """Make no folder for tables in the working directory: there are no tables, and it may be read-only."""


def create_app(settings: FeaturesSettings) -> FeaturesApp:
    """Wire the service up."""
    app = FeaturesApp(
        f"{settings.topic_prefix}features",
        broker=f"kafka://{settings.kafka}",
        store="memory://",
        web_enabled=False,
        topic_disable_leader=True,
    )
    topic_names = [settings.topic_prefix + spec.name for spec in topics.SAMPLE_TOPICS.values()]
    health = Health(settings.stalled_after_s, service="features", topic_prefix=settings.topic_prefix)
    health.set_unready("kafka", "not connected yet")
    # It is asked for with the first record; until then nothing is known against it.
    health.set_ready("redis")
    store = BaselineStore(settings.redis, settings.redis_prefix)
    publisher = KafkaWindowProducer(settings.kafka, settings.topic_prefix)
    users = BaselineCache(store, settings.hop_ms)
    share = DeadLetterLimit(settings.dlq_max_ratio, settings.dlq_min_records)
    processor = Processor(users, publisher, health, topic_names, settings.max_unsaved_baselines, share)
    batches = app.channel(maxsize=2)

    async def send(batch: Batch) -> None:
        await batches.send(value=batch)

    source = BatchConsumer(settings, processor, health, topic_names, send)

    @app.agent(batches)
    async def fold(stream: Any) -> None:
        async for batch in stream:
            try:
                await source.handle(batch)
            except Stop as error:
                app.end(error)
                return
            except Exception:
                # An exception would make Faust take the batch as done and go on with the next: the order of the log
                # would be broken. Ending the process is safe: it begins again at its last commit.
                log.critical("the fold has failed; this worker ends", exc_info=True)
                await app.crash(Stop("the fold has failed"))
                raise

    used = (*topics.SAMPLE_TOPICS.values(), topics.GAPS, topics.REJECTED, topics.WINDOWS)
    watched = TopicMonitor(settings, used, health, back=source.begin_anew)
    http = server(health_app(health))
    sock = bind(settings.health_host, settings.health_port)

    @app.task  # type: ignore[untyped-decorator]
    async def serve_health() -> None:
        await http.serve(sockets=[sock])

    @app.task  # type: ignore[untyped-decorator]
    async def watch() -> None:
        await watch_event_loop()

    @app.task  # type: ignore[untyped-decorator]
    async def start() -> None:
        try:
            await _when_ready(settings, publisher, health)
        except Stop as error:
            app.end(error)
            return
        health.set_ready("kafka")
        # Faust's own consumer would do this on its first assignment; without it every channel stays shut.
        app.flow_control.resume()
        await app.add_runtime_dependency(source)
        try:
            await watched.run()
        except Stop as error:
            app.end(error)

    @app.on_before_shutdown.connect
    async def stop(*_: Any, **__: Any) -> None:
        await source.stop()
        await publisher.stop()
        await store.close()
        http.should_exit = True

    return app


async def _when_ready(settings: FeaturesSettings, publisher: KafkaWindowProducer, health: Health) -> None:
    throttled = ThrottledLogger(log)
    while True:
        try:
            await topics.ensure_topics(
                settings.kafka, settings.topic_prefix, settings.partitions, settings.replication_factor
            )
            await publisher.start()
        except RetryLater as error:
            health.set_unready("kafka", str(error), refused=isinstance(error, Refused))
            throttled.log("start", logging.WARNING, "%s; trying again", error)
            await asyncio.sleep(1.0)
        else:
            return


def run(settings: FeaturesSettings) -> None:
    """Run the worker until a signal ends it; raises Stop when it cannot go on."""
    configure_logging("features", settings.log_level, settings.log_format)
    settings.log(log)
    app = create_app(settings)
    worker = faust.Worker(
        app,
        loglevel=settings.log_level,
        override_logging=False,
        redirect_stdouts=False,
        quiet=True,
        loop=uvloop.new_event_loop(),
    )
    # It writes a terminal's control codes wherever standard output leads to.
    worker.spinner = None
    garbage.settle()
    try:
        worker.execute_from_commandline()
    except SystemExit:
        if app.failure is None:
            raise
        raise app.failure from None
