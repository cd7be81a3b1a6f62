"""Ingest, from HTTP to Kafka: the gateway, the same contract on FastAPI, the same work without HTTP.

    python -m benchmarks.stages.ingest --rounds 3

One upload is 5 s of one watch, 2 KB of JSON, acknowledged by all replicas. Gaitway and FastAPI get the same open-loop
load at a rate that FastAPI can hold, Gaitway also a higher one; the limit runs at full speed. Each watch's first upload
is the warm-up. At the end every upload must be in Kafka, and some records are compared with the sent data.
"""

import asyncio
import logging
import os
import secrets
import statistics
from dataclasses import dataclass

import uvloop
from rich.console import Console

from benchmarks.bus import PARTITIONS, temporary_topics
from benchmarks.command import run_alone
from benchmarks.ingest_load import CONNECTIONS, LoadResult, body, check, load, make_fleet, templates
from benchmarks.measure import Measurement, Round, Stage, watch
from benchmarks.peers.gateway_settings import GatewaySettings
from benchmarks.peers.process import PeerProcess
from gaitway.demo.processes import ServiceProcess
from gaitway.embedded import KafkaBroker, free_port
from gaitway.embedded.process import ServerProcess
from services.ingest.producer import KafkaSampleProducer
from services.ingest.settings import IngestSettings
from services.ingest.validation import decode_upload
from shared.contracts.trace_context import traceparent
from shared.contracts.upload import to_records
from shared.kafka.admin import ensure_topics
from shared.runtime.clock import system_clock
from shared.runtime.event_loop import tune_garbage_collector

UNIT = "uploads"
HOST = "127.0.0.1"
FASTAPI = "FastAPI, pydantic, aiokafka"
LINGER_MS = 20
"""Linger time of all contestants."""


@dataclass(frozen=True, slots=True)
class Size:
    """Uploads a second, offered to all and to Gaitway alone; ``steps``: uploads of each watch, 5 s apart."""

    rate: int = 600
    high_rate: int = 2_000
    steps: int = 4


def run(rounds: int, console: Console, size: Size | None = None) -> Stage:
    """Measure all contestants in turn, ``rounds`` times.

    Raises:
        IngestDiffers: a contestant's output is wrong.
        StackError: a part cannot start.
    """
    size = size or Size()
    library = templates()
    stage = Stage("ingest", UNIT, peers={FASTAPI: Measurement()}, limit=Measurement())
    assert stage.limit is not None
    high = f"at {size.high_rate}/s"
    answers: dict[str, list[LoadResult]] = {"gaitway": [], FASTAPI: [], high: []}
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    with KafkaBroker() as broker:
        kafka = broker.bootstrap_servers
        for number in range(1, rounds + 1):
            for name, loads in answers.items():
                rate = size.high_rate if name == high else size.rate
                loads.append(_measure(name, kafka, library, rate, size.steps))
                _print_round(
                    console, number, name, loads[-1].round, f"p50 {loads[-1].p50_s:.3f} s p99 {loads[-1].p99_s:.3f} s"
                )
            stage.limit.rounds.append(measure_limit(kafka, library, size.high_rate, size.steps))
            _print_round(console, number, "limit", stage.limit.rounds[-1], "")
    for name, measured in (("gaitway", stage.ours), (FASTAPI, stage.peers[FASTAPI])):
        measured.rounds = [each.round for each in answers[name]]
        measured.extra |= _latencies(answers[name])
    stage.ours.extra[f"per_core_at_{size.high_rate}"] = statistics.median(each.round.per_core for each in answers[high])
    stage.ours.extra |= {f"{name}_at_{size.high_rate}": value for name, value in _latencies(answers[high]).items()}
    return stage


def _latencies(loads: list[LoadResult]) -> dict[str, float]:
    return {
        "p50_s": statistics.median(each.p50_s for each in loads),
        "p99_s": statistics.median(each.p99_s for each in loads),
    }


def _print_round(console: Console, number: int, name: str, done: Round, latency: str) -> None:
    console.print(
        f"ingest, round {number}: {name}: {done.per_core:,.0f} {UNIT} per CPU second ({1e6 / done.per_core:.0f} us), "
        f"{done.per_second:,.0f} per second; {done.cpu_s:.1f} s CPU {latency}"
    )


def _measure(name: str, kafka: str, library: list[bytes], rate: int, steps: int) -> LoadResult:
    """One contestant on topics of its own, under load."""
    jwt_key = secrets.token_urlsafe(32)
    with temporary_topics(kafka) as prefix:
        asyncio.run(ensure_topics(kafka, prefix, PARTITIONS, 1))
        server, port = (_peer if name == FASTAPI else _ours)(kafka, prefix, jwt_key)
        with server:
            fleet = make_fleet(library, rate, HOST, port, jwt_key)
            done = uvloop.run(load(server.pid, fleet, HOST, port, steps))
        asyncio.run(check(kafka, prefix, PARTITIONS, fleet, steps))
    return done


def _ours(kafka: str, prefix: str, jwt_key: str) -> tuple[ServerProcess, int]:
    settings = {"kafka": kafka, "topic_prefix": prefix, "partitions": PARTITIONS, "jwt_key": jwt_key}
    service = ServiceProcess("ingest", settings | {"linger_ms": LINGER_MS})
    return service, service.port


def _peer(kafka: str, prefix: str, jwt_key: str) -> tuple[ServerProcess, int]:
    port = free_port()
    settings = GatewaySettings(kafka, prefix, str(port), jwt_key, str(LINGER_MS))
    command = ("benchmarks.peers.fastapi_gateway",)
    return PeerProcess(FASTAPI, command, settings.environment(), "Application startup complete"), port


def measure_limit(kafka: str, library: list[bytes], rate: int, steps: int) -> Round:
    """Decoding, packing and producing in this process, as fast as possible."""
    with temporary_topics(kafka) as prefix:
        asyncio.run(ensure_topics(kafka, prefix, PARTITIONS, 1))
        jwt_key = secrets.token_urlsafe(32)
        settings = IngestSettings(
            kafka=kafka, topic_prefix=prefix, partitions=PARTITIONS, jwt_key=jwt_key, linger_ms=LINGER_MS
        )
        fleet = make_fleet(library, rate, HOST, 0, jwt_key)
        uploads = list(fleet.uploads(steps))
        bodies = [(fleet.users[upload.watch], body(fleet, upload)) for upload in uploads]
        return uvloop.run(_published(settings, bodies, len(fleet)))


async def _published(settings: IngestSettings, bodies: list[tuple[str, bytes]], warm: int) -> Round:
    publisher = KafkaSampleProducer(settings)
    await publisher.start()

    async def publish(user: str, content: bytes) -> None:
        await publisher.publish(user, to_records(decode_upload(content), system_clock()), traceparent(None))

    async def publish_all(share: list[tuple[str, bytes]]) -> None:
        for start in range(0, len(share), CONNECTIONS):
            await asyncio.gather(*(publish(*each) for each in share[start : start + CONNECTIONS]))

    try:
        await publish_all(bodies[:warm])
        tune_garbage_collector()
        with watch(os.getpid()) as stopwatch:
            await publish_all(bodies[warm:])
    finally:
        await publisher.stop()
    return stopwatch.round(len(bodies) - warm)


if __name__ == "__main__":
    run_alone(__doc__, run, Size)
