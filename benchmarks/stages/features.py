"""Features, from Kafka to Kafka: the service, four stream-processing libraries, and the pure function alone.

    python -m benchmarks.stages.features --rounds 3

A watch-second is one second of one watch's data, all three modalities. Topics are filled first. A contestant's first
tenth of windows is the warm-up; then CPU and time are measured until every window that the offline pipeline computes
from the same log is in the output topic. The slower peers get fewer watches, but run long enough to include their
commits. Kafka Streams needs a JDK, and is left out where there is none. Windows of all contestants start at multiples
of the hop, because a hopping window of the peers has no phase per user.
"""

import asyncio
import logging
import os
from dataclasses import dataclass, replace
from itertools import cycle, islice

from aiokafka import ConsumerRecord
from rich.console import Console

from benchmarks.bus import PARTITIONS, WARM_SHARE, make_prefix, measure_until, temporary_topics
from benchmarks.command import run_alone
from benchmarks.features_check import check, find_closed
from benchmarks.features_log import FeaturesLog, make_features_log
from benchmarks.features_topics import JSON_WINDOWS, write_json_topics, write_watch_topics
from benchmarks.measure import Measurement, Round, Stage, watch
from benchmarks.peers.features_job import HOP_MS
from benchmarks.peers.features_settings import PeerSettings
from benchmarks.peers.kafka_streams.process import MIN_JAVA, KafkaStreamsProcess, find_jdk
from benchmarks.peers.process import PeerProcess
from gaitway.demo.processes import ServiceProcess
from gaitway.embedded import KafkaBroker, ValkeyServer
from gaitway.embedded.process import ServerProcess
from shared.contracts.topics import WINDOWS
from shared.contracts.window import WindowRecord, decode_window
from shared.kafka.admin import ensure_topics
from shared.runtime.clock import system_clock
from shared.windows.featurise import window_features

UNIT = "watch-seconds"
HOP_S = HOP_MS / 1000
BATCH_WINDOWS = 256
STREAMS_WARM_SHARE = 0.5
"""The Java virtual machine compiles for the first 10 s of CPU, which is nothing in the life of a service."""
QUIX, FAUST, BYTEWAX = "Quix Streams", "Faust, per record, JSON", "Bytewax"
STREAMS = "Kafka Streams, in Java"
PYTHON_PEERS = {
    QUIX: (("benchmarks.peers.quix_features",), "now processing incoming messages"),
    FAUST: (
        ("benchmarks.peers.faust_features", "--loop", "uvloop", "worker", "--without-web", "--loglevel", "info"),
        "[^Worker]: Ready",
    ),
    BYTEWAX: (("benchmarks.peers.bytewax_features",), "the dataflow starts"),
}
"""Module and arguments of each peer, and the log text that shows that it reads."""


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a round: about 10 s of one core for each service. ``seconds``: of data of each watch."""

    watches: int = 800
    quix_watches: int = 400
    faust_watches: int = 160
    bytewax_watches: int = 400
    streams_watches: int = 2_400
    seconds: int = 360
    limit_windows: int = 50_000


def run(rounds: int, console: Console, size: Size | None = None) -> Stage:
    """Measure all contestants in turn, ``rounds`` times.

    Raises:
        FeaturesDiffer, OutputMissing: a contestant's output is wrong.
        StackError: a part cannot start.
    """
    size = size or Size()
    watches = {QUIX: size.quix_watches, FAUST: size.faust_watches, BYTEWAX: size.bytewax_watches}
    if find_jdk() is None:
        console.print(f"features: without {STREAMS}: there is no JDK {MIN_JAVA} or newer on this machine")
    else:
        watches[STREAMS] = size.streams_watches
    longest = make_features_log(max(size.watches, *watches.values()), size.seconds, system_clock())
    log = longest.first(size.watches)
    peer_logs = {name: longest.first(count) for name, count in watches.items()}
    stage = Stage("features", UNIT, peers={name: Measurement() for name in watches}, limit=Measurement())
    assert stage.limit is not None
    # A new topic has a leader only after a moment; the producer retries.
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    with KafkaBroker() as broker, ValkeyServer() as redis:
        kafka = broker.bootstrap_servers
        inputs = {name: make_prefix() for name in watches}
        for name, input_prefix in inputs.items():
            write = write_watch_topics if name == STREAMS else write_json_topics
            asyncio.run(write(kafka, input_prefix, peer_logs[name]))
        for number in range(1, rounds + 1):
            stage.ours.rounds.append(_ours(kafka, redis.url, log))
            for name, peer in stage.peers.items():
                peer.rounds.append(_peer(name, kafka, inputs[name], peer_logs[name]))
            stage.limit.rounds.append(_limit(log, size.limit_windows))
            for name, measured in {"gaitway": stage.ours, **stage.peers, "limit": stage.limit}.items():
                _print_round(console, number, name, measured.rounds[-1])
    for measured in (stage.ours, *stage.peers.values(), stage.limit):
        measured.extra["windows_per_core"] = measured.per_core / HOP_S
    return stage


def _print_round(console: Console, number: int, name: str, done: Round) -> None:
    console.print(
        f"features, round {number}: {name}: {done.per_core:,.0f} {UNIT} ({done.per_core / HOP_S:,.0f} windows) "
        f"per CPU second, {done.per_second:,.0f} per second; {done.cpu_s:.1f} s CPU"
    )


def _ours(kafka: str, redis: str, log: FeaturesLog) -> Round:
    with temporary_topics(kafka) as prefix:
        asyncio.run(write_watch_topics(kafka, prefix, log))
        service = features_service(kafka, redis, prefix)
        with service:
            done, records = asyncio.run(measure_until(kafka, prefix + WINDOWS.name, service, len(log.expected)))
    check(log, log.expected, _windows(records), own_baseline=False)
    return _in_watch_seconds(done)


def features_service(kafka: str, redis: str, prefix: str, **settings: object) -> ServiceProcess:
    """`gaitway serve features` on the topics of a prefix, with the windows of a ``FeaturesLog``."""
    names = {"topic_prefix": prefix, "redis_prefix": prefix}
    environment: dict[str, object] = {"kafka": kafka, "redis": redis, "phase_per_user": False, **names}
    return ServiceProcess("features", {**environment, "partitions": PARTITIONS, **settings})


def _peer(name: str, kafka: str, input_prefix: str, log: FeaturesLog) -> Round:
    expected = find_closed(log) if name == QUIX else log.expected
    with temporary_topics(kafka) as prefix:
        asyncio.run(ensure_topics(kafka, prefix, PARTITIONS, 1, (JSON_WINDOWS,)))
        settings = PeerSettings(kafka, input_prefix, prefix + JSON_WINDOWS.name, f"{prefix}peer")
        with _peer_process(name, settings) as peer:
            warm_share = STREAMS_WARM_SHARE if name == STREAMS else WARM_SHARE
            done, records = asyncio.run(measure_until(kafka, settings.output, peer, len(expected), warm_share))
    check(log, expected, _windows(records), own_baseline=True)
    return _in_watch_seconds(done)


def _peer_process(name: str, settings: PeerSettings) -> ServerProcess:
    if name == STREAMS:
        return KafkaStreamsProcess(settings)
    command, ready_line = PYTHON_PEERS[name]
    return PeerProcess(name, command, settings.environment(), ready_line)


def _windows(records: list[ConsumerRecord]) -> list[tuple[str, WindowRecord]]:
    return [(record.key.decode(), decode_window(record.value)) for record in records]


def _in_watch_seconds(windows: Round) -> Round:
    return replace(windows, work=windows.work * HOP_S)


def _limit(log: FeaturesLog, windows: int) -> Round:
    """The pure function in this process, one thread: the log's windows, on their grid and in memory, in batches."""
    pairs = [pair for pattern in log.patterns for pair in zip(pattern.windows, pattern.records, strict=True)]
    pairs = list(islice(cycle(pairs), windows))
    raw, baselines = [pair[0] for pair in pairs], [pair[1].baseline for pair in pairs]
    with watch(os.getpid()) as stopwatch:
        for start in range(0, windows, BATCH_WINDOWS):
            window_features(raw[start : start + BATCH_WINDOWS], baselines[start : start + BATCH_WINDOWS])
    return stopwatch.round(windows * HOP_S)


if __name__ == "__main__":
    run_alone(__doc__, run, Size)
