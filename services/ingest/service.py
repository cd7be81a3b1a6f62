"""The ingest service: HTTP gateway, Kafka producer and ticks, and their order of shutdown."""

import asyncio
import logging

from services.ingest.app import create_app
from services.ingest.auth import TokenVerifier
from services.ingest.producer import KafkaSampleProducer
from services.ingest.settings import IngestSettings
from services.ingest.ticks import send_ticks
from shared.contracts.topics import SAMPLE_TOPICS
from shared.kafka.admin import wait_for_broker
from shared.kafka.topic_monitor import TopicMonitor
from shared.runtime.health import Health
from shared.runtime.http_limits import HttpLimits
from shared.runtime.http_server import allow_open_files, bind, serving
from shared.runtime.retry import FIRST_WAIT_S
from shared.runtime.service import run_together

SPARE_FILES = 256
"""Open files for the brokers' connections and everything else."""

log = logging.getLogger("gaitway.ingest")


class IngestService:
    """The gateway as a process; raises Stop when its address is in use."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._health = Health(service="ingest")
        self._health.set_unready("kafka", "not connected yet")
        self._producer = KafkaSampleProducer(settings)
        self._topics = TopicMonitor(settings, tuple(SAMPLE_TOPICS.values()), self._health)
        verifier = TokenVerifier(settings.jwt_key.get_secret_value(), cache_size=settings.token_cache_size)
        self._app = create_app(
            self._producer,
            verifier,
            self._health,
            max_body_bytes=settings.max_body_bytes,
            max_in_flight_per_user=settings.max_in_flight_per_user,
        )
        self._socket = bind(settings.host, settings.port)
        allow_open_files(settings.max_connections + SPARE_FILES)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop``, then finish the requests in flight and flush.

        Raises:
            TopicMismatch: a topic does not match the contract.
        """
        settings = self._settings
        limits = HttpLimits(
            head_bytes=settings.max_head_bytes,
            headers=settings.max_headers,
            head_s=settings.head_timeout_s,
            body_s=settings.body_timeout_s,
            write_s=settings.write_timeout_s,
            connections=settings.max_connections,
        )
        try:
            # HTTP starts at once: until Kafka is connected, it answers 503 and /readyz gives the reason.
            async with serving(self._app, self._socket, limits=limits, keep_alive_s=settings.idle_timeout_s):
                log.info("listening on %s:%d", settings.host, self._socket.getsockname()[1])
                await run_together(stop.wait(), self._keep_connected(), self._topics.run())
                log.info("stopping")
        finally:
            await self._producer.stop()

    async def _keep_connected(self) -> None:
        """Connect, write ticks until the connection counts as lost, and repeat without end."""
        while True:
            # An unavailable or refusing broker is no reason to restart this process.
            await wait_for_broker(self._settings, self._health, self._producer.start, keep_alive=True)
            ticking = asyncio.ensure_future(
                send_ticks(self._producer.tick, self._health, self._settings.tick_ms / 1000)
            )
            spent = asyncio.ensure_future(self._producer.spent())
            try:
                await asyncio.wait({ticking, spent}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ticking.cancel()
                spent.cancel()
            if not spent.done():
                log.warning("Kafka has acknowledged nothing for a while: starting a new producer")
            await self._producer.drop()
            # A permanent refusal must not create producers in a tight loop.
            await asyncio.sleep(FIRST_WAIT_S)
