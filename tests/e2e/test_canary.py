"""The canary watch on the real pipeline with the default model: right, then missing, then right again."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from prometheus_client import REGISTRY

from gaitway.canary.run import Canary
from gaitway.canary.settings import CanarySettings
from gaitway.demo.processes import ServiceProcess
from gaitway.paths import DEFAULT_MODEL
from shared.kafka.health import ConsumerHealth
from tests.e2e.harness import HTTP_S, JWT_KEY, Pipeline, terminate, until

SPEED = 40
"""The canary's clock: eight uploads a second, and four windows."""
AGO_MS = 6 * 3_600_000
"""Where that clock begins; six hours later it would be ahead of the gateway's, which refuses the future."""
OUTCOMES = ("right", "wrong", "late", "missing")


def fast_clock() -> Callable[[], int]:
    begin_ms, begin_s = time.time_ns() // 1_000_000 - AGO_MS, time.monotonic()
    return lambda: begin_ms + int((time.monotonic() - begin_s) * 1000 * SPEED)


def settings_of(pipeline: Pipeline, **changes: object) -> dict[str, object]:
    return {
        "gateway": pipeline.url,
        "kafka": pipeline.kafka,
        "topic_prefix": pipeline.prefix,
        "jwt_key": JWT_KEY,
        **changes,
    }


class Counts:
    """The canary's counters since this object was made."""

    def __init__(self) -> None:
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        name = "gaitway_canary_windows_total"
        return {outcome: REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0.0 for outcome in OUTCOMES}

    def __getitem__(self, outcome: str) -> float:
        return self._now()[outcome] - self._before[outcome]

    @property
    def last_success(self) -> float:
        return REGISTRY.get_sample_value("gaitway_canary_last_success_timestamp_seconds") or 0.0


@asynccontextmanager
async def canary_of(settings: CanarySettings, health: ConsumerHealth) -> AsyncIterator[Counts]:
    counts = Counts()
    working = asyncio.create_task(Canary(settings, health, clock=fast_clock()).run())
    try:
        yield counts
        assert not working.done(), working.exception()
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, kafka: str, redis_url: str) -> Iterator[Pipeline]:
    """With the model whose answers are known; each test's canary is a user of its own.

    No window of the canary waits for the grace period, unless a gateway that is away delays the log longer.
    """
    prefix = f"t{secrets.token_hex(4)}-"
    names = {"topic_prefix": prefix, "redis_prefix": prefix, "kafka": kafka, "redis": redis_url}
    with Pipeline(tmp_path_factory.mktemp("pipeline"), model=DEFAULT_MODEL, grace_s=60, **names) as pipeline:
        yield pipeline


async def test_right_then_missing_then_right_again(pipeline: Pipeline) -> None:
    # An event that is awaited for as long as a busy machine needs cannot be distinguished from one that never comes.
    patient = CanarySettings.read(**settings_of(pipeline, instance="1", late_after_s=19, missing_after_s=20))
    health = ConsumerHealth()
    async with canary_of(patient, health) as counts:
        await until(lambda: counts["right"] >= 100, "a hundred right events: more than a cycle, and its seam")
        assert [counts[outcome] for outcome in OUTCOMES[1:]] == [0, 0, 0]
        assert "gateway" not in health.not_ready

        pipeline.inference.kill()
        await until(lambda: counts["missing"] >= 1, "the first missing event")
        stands_at = counts.last_success
        right = counts["right"]
        await until(lambda: counts["missing"] >= 5, "more missing events")
        assert (counts.last_success, counts["right"]) == (stands_at, right)

        await asyncio.to_thread(pipeline.inference.start)
        await until(lambda: counts["right"] >= right + 10, "right events again")
        assert counts.last_success > stands_at
        # The events of the windows that were given up have come, too; they are nothing wrong.
        assert counts["wrong"] == 0


async def test_a_gateway_that_is_away_is_waited_for(pipeline: Pipeline) -> None:
    settings = CanarySettings.read(**settings_of(pipeline, instance="2", late_after_s=119, missing_after_s=120))
    health = ConsumerHealth()
    async with canary_of(settings, health) as counts:
        await until(lambda: counts["right"] >= 3, "the first events")
        pipeline.ingest.kill()
        await until(lambda: "gateway" in health.not_ready, "the canary to miss the gateway")
        assert health.alive
        before = counts["right"]
        await asyncio.to_thread(pipeline.ingest.start)
        await until(lambda: counts["right"] >= before + 10, "events of what it had kept")
        assert "gateway" not in health.not_ready
        assert counts["wrong"] + counts["missing"] == 0


async def test_the_command_is_ready_and_ends_on_sigterm(pipeline: Pipeline) -> None:
    with ServiceProcess("canary", settings_of(pipeline, instance="e2e")) as canary:
        async with httpx.AsyncClient(base_url=canary.url, trust_env=False, timeout=HTTP_S) as client:

            async def is_ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await until(is_ready, "the first upload of the canary")
            assert (await client.get("/healthz")).status_code == 200
            page = (await client.get("/metrics")).text
        assert re.search(r'^gaitway_canary_uploads_total{outcome="accepted"} [1-9]', page, re.MULTILINE)
        assert 'gaitway_canary_windows_total{outcome="missing"} 0.0' in page
        assert "user canary-e2e" in canary.log_path.read_text()
        assert await terminate(canary) == 0
        assert "Traceback" not in canary.log_path.read_text()
