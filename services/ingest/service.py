"""ingest as a process: HTTP server, producer and ticks, from start to an orderly end."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator

import uvloop

from services.ingest.app import create_app
from services.ingest.auth import TokenVerifier
from services.ingest.producer import KafkaSampleProducer
from services.ingest.settings import IngestSettings
from services.ingest.ticks import send_ticks
from shared.contracts.errors import RetryLater
from shared.contracts.topics import SAMPLE_TOPICS, ensure_topics
from shared.kafka.topic_monitor import TopicMonitor
from shared.runtime import garbage
from shared.runtime.event_loop import watch_event_loop
from shared.runtime.health import Health
from shared.runtime.http_limits import HttpLimits
from shared.runtime.http_server import allow_open_files, bind, server
from shared.runtime.logging import ThrottledLogger, configure_logging

SPARE_FILES = 256
"""For the brokers' connections and the rest."""
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 5.0

logger = logging.getLogger("gaitway.ingest")


def run(settings: IngestSettings) -> None:
    """``serve`` on uvloop: a socket costs less than on asyncio's own loop."""
    uvloop.run(serve(settings))


async def serve(settings: IngestSettings) -> None:
    """Run until SIGTERM or SIGINT; then finish the requests in flight and flush.

    Raises:
        Stop: the address is taken, or a topic is not as the contract wants it.
    """
    configure_logging("ingest", settings.log_level, settings.log_format)
    settings.log(logger)
    health = Health(service="ingest")
    health.set_unready("kafka", "not connected yet")
    producer = KafkaSampleProducer(settings)
    verifier = TokenVerifier(settings.jwt_key.get_secret_value(), cache_size=settings.token_cache_size)
    app = create_app(
        producer,
        verifier,
        health,
        max_body_bytes=settings.max_body_bytes,
        max_in_flight_per_user=settings.max_in_flight_per_user,
    )
    sock = bind(settings.host, settings.port)
    limits = HttpLimits(
        head_bytes=settings.max_head_bytes,
        headers=settings.max_headers,
        head_s=settings.head_timeout_s,
        body_s=settings.body_timeout_s,
        write_s=settings.write_timeout_s,
        connections=settings.max_connections,
    )
    allow_open_files(settings.max_connections + SPARE_FILES)
    http = server(app, limits=limits, keep_alive_s=settings.idle_timeout_s)
    garbage.settle()
    logger.info("listening on %s:%d", settings.host, sock.getsockname()[1])
    with _stop_signal() as stop:
        # HTTP is there from the first moment: until Kafka is, it answers 503 and says why on /readyz.
        serving = asyncio.create_task(http.serve(sockets=[sock]))
        feeding = asyncio.create_task(run_producer(settings, producer, health))
        looking = asyncio.create_task(TopicMonitor(settings, tuple(SAMPLE_TOPICS.values()), health).run())
        stopping = asyncio.create_task(stop.wait())
        watching = asyncio.create_task(watch_event_loop())
        try:
            await asyncio.wait({serving, feeding, looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            logger.info("stopping")
            stopping.cancel()
            watching.cancel()
            looking.cancel()
            http.should_exit = True
            await serving
            feeding.cancel()
            await asyncio.wait({feeding, looking})
            await producer.stop()
    for task in (feeding, looking):
        if not task.cancelled():
            task.result()


async def run_producer(settings: IngestSettings, producer: KafkaSampleProducer, health: Health) -> None:
    """Connect, write ticks until the connection counts as lost, connect again; for ever.

    Raises:
        TopicMismatch: a topic is not as the contract wants it.
    """
    while True:
        await _connect(settings, producer, health)
        ticking = asyncio.ensure_future(send_ticks(producer.tick, health, settings.tick_ms / 1000))
        spent = asyncio.ensure_future(producer.spent())
        try:
            await asyncio.wait({ticking, spent}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ticking.cancel()
            spent.cancel()
        if not spent.done():
            logger.warning("Kafka has acknowledged nothing for a while: starting over with a new producer")
        await producer.drop()
        # A refusal that stays must not make a producer a moment.
        await asyncio.sleep(FIRST_RETRY_S)


async def _connect(settings: IngestSettings, producer: KafkaSampleProducer, health: Health) -> None:
    wait_s = FIRST_RETRY_S
    throttled = ThrottledLogger(logger)
    while True:
        try:
            await ensure_topics(settings.kafka, settings.topic_prefix, settings.partitions, settings.replication_factor)
            await producer.start()
        except RetryLater as error:
            throttled.log("connect", logging.WARNING, "%s; again in %.1f s", error, wait_s)
            health.set_unready("kafka", str(error))
            # A broker that is away is no reason to restart this process.
            health.heartbeat()
        else:
            logger.info("connected to Kafka at %s", settings.kafka)
            health.set_ready("kafka")
            return
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LAST_RETRY_S)


@contextlib.contextmanager
def _stop_signal() -> Iterator[asyncio.Event]:
    """An event that SIGTERM or SIGINT sets."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
