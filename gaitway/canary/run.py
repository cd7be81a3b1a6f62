"""The canary: one task sends uploads, one reads events, one looks for missing ones."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from gaitway.canary.reference import Reference
from gaitway.canary.settings import CanarySettings
from gaitway.canary.stream import Stream, begin_after, cycle_of, device_of
from gaitway.canary.verification import EventData, EventVerifier, Verdict
from gaitway.events import TOPIC
from gaitway.replay import ANSWER_WITHIN_S, FIRST_RETRY_S, LAST_RETRY_S
from shared.contracts.errors import SettingsError
from shared.contracts.grid import grid_phase_ms
from shared.contracts.token import make_token
from shared.contracts.users import partition_of
from shared.kafka.admin import open_admin
from shared.kafka.consumer import create_reader
from shared.kafka.errors import as_retry
from shared.kafka.health import ConsumerHealth
from shared.kafka.producer import CLOSE_S, finish_within
from shared.runtime import metrics
from shared.runtime.clock import Clock, system_clock
from shared.runtime.health import health_app
from shared.runtime.http_server import bind, serving
from shared.runtime.retry import retry_until_available
from shared.runtime.service import run_together

log = logging.getLogger("gaitway.canary")

TOKEN_TTL_S = 2 * 3600
TOKEN_RENEWED_S = 3600.0
POLL_MS = 200
TICK_S = 0.1


class Canary:
    """Sends uploads and verifies events until it is cancelled; raises when its settings or its recording are wrong.

    ``clock`` is the clock of the watch and of the stream; ``monotonic`` measures latencies. Tests use a clock that runs
    faster than real time.
    """

    def __init__(
        self,
        settings: CanarySettings,
        health: ConsumerHealth,
        clock: Clock = system_clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._health = health
        self._clock = clock
        self._monotonic = monotonic
        self._token, self._token_s = "", -TOKEN_RENEWED_S
        self.user = _user_of(settings)
        self.device = device_of(clock())
        self._cycle = cycle_of(settings.recording, self.device)

    async def run(self) -> None:
        """Wait for Kafka, then begin at the next start that the window grid allows; returns only by cancellation."""
        consumer = await self._connect()
        try:
            hop_ms = self._settings.hop_ms
            phase_ms = grid_phase_ms(self.user, hop_ms) if self._settings.phase_per_user else 0
            begin_ms = begin_after(self._clock(), hop_ms, phase_ms)
            verifier = EventVerifier(
                Stream(self._cycle, hop_ms, phase_ms, begin_ms),
                Reference.of(self._settings.recording),
                self._settings.late_after_s,
                self._settings.missing_after_s,
            )
            log.info("user %s, device %s, %d uploads a cycle", self.user, self.device, len(self._cycle))
            await run_together(
                self._send_all(verifier),
                self._read(consumer, verifier),
                self._find_missing(verifier),
                self._health.partitions.watch(consumer),
            )
        finally:
            await finish_within(consumer.stop(), CLOSE_S)

    async def _connect(self) -> Any:
        """A consumer at the end of the user's partition of activity.events, once there is one."""
        return await retry_until_available(self._try_to_connect, self._health, "kafka", log, keep_alive=True)

    async def _try_to_connect(self) -> Any:
        topic = self._settings.topic_prefix + TOPIC
        consumer = create_reader(self._settings.kafka, auto_offset_reset="latest")
        try:
            partition = TopicPartition(topic, partition_of(self.user, await self._count_partitions(topic)))
            await consumer.start()
            consumer.assign([partition])
            # Now, not at the first poll: what is published in between is ours to see.
            consumer.seek(partition, (await consumer.end_offsets([partition]))[partition])
        except BaseException as error:
            await finish_within(consumer.stop(), CLOSE_S)
            if isinstance(error, KafkaError | TimeoutError):
                raise as_retry(error) from error
            raise
        log.info("reads %s, partition %d", topic, partition.partition)
        return consumer

    async def _count_partitions(self, topic: str) -> int:
        async with open_admin(self._settings.kafka) as admin:
            (described,) = await admin.describe_topics([topic])
        if described["error_code"] != 0 or not described["partitions"]:
            raise KafkaError(f"there is no topic {topic}")
        return len(described["partitions"])

    async def _send_all(self, verifier: EventVerifier) -> None:
        timeout = httpx.Timeout(ANSWER_WITHIN_S)
        async with httpx.AsyncClient(base_url=self._settings.gateway, timeout=timeout, trust_env=False) as client:
            step = 0
            while True:
                if self._clock() < verifier.stream.end_ms(step):
                    await asyncio.sleep(TICK_S)
                    continue
                await self._send(client, verifier, step)
                step += 1

    async def _send(self, client: httpx.AsyncClient, verifier: EventVerifier, step: int) -> None:
        """Send one upload until it is accepted or refused for good. The next one waits for it, as on a watch."""
        body = verifier.stream.body(step)
        pause_s = FIRST_RETRY_S
        while True:
            verifier.sent(step, self._monotonic())
            status, why = await self._post(client, body)
            if status == httpx.codes.ACCEPTED:
                metrics.CANARY_UPLOADS.labels("accepted").inc()
                self._health.set_ready("gateway")
                return
            metrics.CANARY_UPLOADS.labels("refused").inc()
            if "gateway" not in self._health.not_ready:
                log.warning("%s refuses upload %d: %s", self._settings.gateway, step, why)
            self._health.set_unready("gateway", why)
            if 400 <= status < 500 and status != httpx.codes.TOO_MANY_REQUESTS:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_RETRY_S)

    async def _post(self, client: httpx.AsyncClient, body: bytes) -> tuple[int, str]:
        """Post the upload; returns status and reason, status 0 without an answer."""
        headers = {"Authorization": f"Bearer {self._bearer()}", "Content-Type": "application/json"}
        try:
            answer = await client.post("/v1/uploads", content=body, headers=headers)
        except httpx.TransportError as error:
            return 0, f"{type(error).__name__} {error}".strip()
        return answer.status_code, f"{answer.status_code} {answer.text[:300]}"

    def _bearer(self) -> str:
        if self._settings.token is not None:
            return self._settings.token.get_secret_value()
        assert self._settings.jwt_key is not None
        if self._monotonic() - self._token_s >= TOKEN_RENEWED_S:
            key = self._settings.jwt_key.get_secret_value()
            self._token, self._token_s = make_token(key, self.user, TOKEN_TTL_S), self._monotonic()
        return self._token

    async def _read(self, consumer: Any, verifier: EventVerifier) -> None:
        key = self.user.encode()
        while True:
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    if record.key == key:
                        self._take(record.value, verifier)

    def _take(self, value: bytes | None, verifier: EventVerifier) -> None:
        try:
            data = msgspec.json.decode(value or b"", type=EventData)
        except msgspec.DecodeError as error:
            self._count(Verdict("wrong", 0, None, f"unreadable: {error}"))
            return
        # An event of an earlier run.
        if data.device != self.device:
            return
        verdict = verifier.event(data, self._monotonic())
        if verdict is None:
            log.warning("window %d: its event came after all", data.window_start_ms)
        else:
            self._count(verdict)

    async def _find_missing(self, verifier: EventVerifier) -> None:
        while True:
            for verdict in verifier.overdue(self._monotonic()):
                self._count(verdict)
            self._health.heartbeat()
            await asyncio.sleep(TICK_S)

    def _count(self, verdict: Verdict) -> None:
        metrics.CANARY_WINDOWS.labels(verdict.outcome).inc()
        if verdict.latency_s is not None:
            metrics.CANARY_LATENCY_SECONDS.observe(verdict.latency_s)
        if verdict.outcome == "right":
            metrics.CANARY_LAST_SUCCESS.set_to_current_time()
        else:
            log.warning("window %d %s: %s", verdict.window_start_ms, verdict.outcome, verdict.why)


def _user_of(settings: CanarySettings) -> str:
    """``canary-INSTANCE``, or the user named by the given token, whose signature only the gateway checks."""
    if settings.token is None:
        return f"canary-{settings.instance}"
    try:
        claims = jwt.decode(settings.token.get_secret_value(), options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise SettingsError(f"GAITWAY_TOKEN is no token: {error}") from None
    if not isinstance(claims.get("sub"), str):
        raise SettingsError("GAITWAY_TOKEN names no user (sub)")
    return str(claims["sub"])


class CanaryService:
    """The canary as a process.

    Raises:
        Stop, CommandError, DatasetError: a setting, the recording or the health port is wrong.
    """

    def __init__(self, settings: CanarySettings) -> None:
        self._health = ConsumerHealth(settings.stalled_after_s, service="canary", topic_prefix=settings.topic_prefix)
        self._health.set_unready("kafka", "not connected yet")
        self._health.set_unready("gateway", "nothing accepted yet")
        self._canary = Canary(settings, self._health)
        self._socket = bind(settings.health_host, settings.health_port)

    async def run(self, stop: asyncio.Event) -> None:
        """Send, read and verify until ``stop``."""
        async with serving(health_app(self._health), self._socket):
            await run_together(stop.wait(), self._canary.run())
