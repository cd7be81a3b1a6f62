"""Inference, from Kafka to Kafka: the service, the same without transactions as tutorials have it, the network alone.

    python -m benchmarks.stages.inference --rounds 3

activity.windows is filled first. A contestant's first tenth of events is the warm-up; then CPU and time are measured
until the last event is committed. Every event is compared with the model's probabilities of its window. The peers get
fewer windows. The cost of transactions is the difference between Gaitway with and without them.
"""

import asyncio
import logging
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.bus import PARTITIONS, measure_until, temporary_topics
from benchmarks.command import run_alone
from benchmarks.measure import Measurement, Round, Stage
from benchmarks.peers.plain_inference import READY_LINE, PlainSettings
from benchmarks.peers.process import PeerProcess
from benchmarks.stages import network
from benchmarks.windows_log import WindowsLog, read_recorded_windows, write_windows
from gaitway.demo.processes import ServiceProcess
from gaitway.embedded import KafkaBroker
from gaitway.embedded.process import ServerProcess
from gaitway.paths import DEFAULT_MODEL, PROJECT
from shared.contracts.topics import EVENTS, WINDOWS
from shared.kafka.admin import ensure_topics
from shared.model.bundle import load_bundle
from shared.runtime.clock import system_clock

UNIT = "windows"
LIMIT_SECONDS = 1.0
ONE_BY_ONE, IN_BATCHES = "aiokafka and torch, one by one", "aiokafka and torch, in batches"
BATCHES = {ONE_BY_ONE: 1, IN_BATCHES: 500}
UNTRANSACTED = "gaitway without transactions"


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a round: about 8 s of one core for each contestant."""

    users: int = 2_000
    windows: int = 40_000
    one_by_one_windows: int = 8_000
    in_batches_windows: int = 30_000


def run(rounds: int, console: Console, size: Size | None = None) -> Stage:
    """Measure all contestants in turn, ``rounds`` times.

    Raises:
        InferenceDiffers, OutputMissing: a contestant's output is wrong.
        StackError: a part cannot start.
    """
    size = size or Size()
    model = load_bundle(DEFAULT_MODEL)
    recorded = read_recorded_windows()
    log = WindowsLog.of(recorded, model, size.users, size.windows, system_clock())
    logs = {ONE_BY_ONE: log.first(size.one_by_one_windows), IN_BATCHES: log.first(size.in_batches_windows)}
    stage = Stage("inference", UNIT, peers={name: Measurement() for name in logs}, limit=Measurement())
    assert stage.limit is not None
    untransacted = Measurement()
    # A new topic has a leader only after a moment; the producer retries.
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    with KafkaBroker() as broker, tempfile.TemporaryDirectory(prefix="gaitway-") as folder:
        kafka = broker.bootstrap_servers
        file = Path(folder) / "windows.msgpack"
        file.write_bytes(msgspec.msgpack.encode([window.encode() for window in recorded[: network.WINDOWS]]))
        for number in range(1, rounds + 1):
            stage.ours.rounds.append(_measure("gaitway", kafka, log, model.classes))
            untransacted.rounds.append(_measure(UNTRANSACTED, kafka, log, model.classes))
            for name, peer in stage.peers.items():
                peer.rounds.append(_measure(name, kafka, logs[name], model.classes))
            stage.limit.rounds.append(
                network.contestant(network.OURS_MODULE, file, LIMIT_SECONDS).rounds[network.BATCH]
            )
            everybody = {"gaitway": stage.ours, UNTRANSACTED: untransacted, **stage.peers, "limit": stage.limit}
            for name, measured in everybody.items():
                done = measured.rounds[-1]
                console.print(
                    f"inference, round {number}: {name}: {done.per_core:,.0f} {UNIT} per CPU second, "
                    f"{done.per_second:,.0f} per second; {done.cpu_s:.1f} s CPU"
                )
    stage.ours.extra["per_core_without_transactions"] = untransacted.per_core
    return stage


def _measure(name: str, kafka: str, log: WindowsLog, classes: tuple[str, ...]) -> Round:
    """One contestant on topics of its own."""
    with temporary_topics(kafka) as prefix:
        asyncio.run(write_windows(kafka, prefix, log))
        process = _peer(name, kafka, prefix) if name in BATCHES else _service(name, kafka, prefix)
        with process:
            done, events = asyncio.run(measure_until(kafka, prefix + EVENTS.name, process, log.count))
    log.check(events, classes)
    return done


class UntransactedProcess(ServiceProcess):
    """The service with another entry point."""

    def _command(self, data_dir: Path) -> list[str]:  # noqa: ARG002
        return [sys.executable, "-m", "benchmarks.untransacted_inference"]

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), "PYTHONPATH": str(PROJECT)}


def _service(name: str, kafka: str, prefix: str) -> ServerProcess:
    environment = {"kafka": kafka, "topic_prefix": prefix, "partitions": PARTITIONS, "model": DEFAULT_MODEL}
    return (UntransactedProcess if name == UNTRANSACTED else ServiceProcess)("inference", environment)


def _peer(name: str, kafka: str, prefix: str) -> ServerProcess:
    asyncio.run(ensure_topics(kafka, prefix, PARTITIONS, 1, (EVENTS,)))
    settings = PlainSettings(
        kafka, prefix + WINDOWS.name, prefix + EVENTS.name, f"{prefix}inference", str(BATCHES[name])
    )
    return PeerProcess(name, ("benchmarks.peers.plain_inference",), settings.environment(), READY_LINE)


if __name__ == "__main__":
    run_alone(__doc__, run, Size)
