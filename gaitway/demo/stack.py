"""A running pipeline on this machine: broker, Redis and the three services."""

import contextlib
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gaitway.demo.processes import ServiceProcess
from gaitway.embedded import KafkaBroker, ValkeyServer

PARTITIONS = 4
TICK_MS = 250
EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class Stack:
    """Addresses of a running pipeline."""

    kafka: str
    redis: str
    topic_prefix: str
    redis_prefix: str
    url: str
    health: dict[str, str]
    jwt_key: str
    pids: dict[str, int]
    """Process ids of the services and the embedded servers."""


@contextlib.contextmanager
def running_stack(
    broker: str,
    redis: str,
    *,
    model: Path,
    grace_s: float,
    features_workers: int = 1,
    phase_per_user: bool = True,
) -> Iterator[Stack]:
    """Start the embedded servers, then the services on free ports; stop them in reverse order.

    On an external broker or Redis all names get a prefix of their own, so that no other data is touched.

    Raises:
        StackError: a part cannot start.
    """
    prefix = "" if broker == EMBEDDED else f"demo-{secrets.token_hex(3)}-"
    with contextlib.ExitStack() as parts:
        pids: dict[str, int] = {}
        kafka, redis_url = broker, redis
        if broker == EMBEDDED:
            kafka_node = parts.enter_context(KafkaBroker())
            kafka, pids["kafka"] = kafka_node.bootstrap_servers, kafka_node.pid
        if redis == EMBEDDED:
            valkey = parts.enter_context(ValkeyServer())
            redis_url, pids["redis"] = valkey.url, valkey.pid
        jwt_key = secrets.token_urlsafe(32)
        common = {"kafka": kafka, "topic_prefix": prefix, "partitions": PARTITIONS, "phase_per_user": phase_per_user}
        redis_prefix = f"{prefix}gaitway:"
        services = [
            ServiceProcess("ingest", {**common, "jwt_key": jwt_key, "tick_ms": TICK_MS}),
            *(
                ServiceProcess(
                    "features",
                    {
                        **common,
                        "redis": redis_url,
                        "redis_prefix": redis_prefix,
                        "grace_s": grace_s,
                        "instance": number,
                    },
                )
                for number in range(features_workers)
            ),
            ServiceProcess("inference", {**common, "model": model.resolve()}),
        ]
        names = ["ingest", *(f"features-{n}" if n else "features" for n in range(features_workers)), "inference"]
        for service in services:
            parts.callback(service.stop)
        with ThreadPoolExecutor(len(services)) as pool:
            for started in [pool.submit(service.start) for service in services]:
                started.result()
        yield Stack(
            kafka=kafka,
            redis=redis_url,
            topic_prefix=prefix,
            redis_prefix=redis_prefix,
            url=services[0].url,
            health={name: s.url for name, s in zip(names, services, strict=True)},
            jwt_key=jwt_key,
            pids=pids | {name: s.pid for name, s in zip(names, services, strict=True)},
        )
