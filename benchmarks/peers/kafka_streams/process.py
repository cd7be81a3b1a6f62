"""The Java classes of this folder as a process: compiled by a JDK of this machine, with jars from Maven.

python -m benchmarks.peers.kafka_streams.process    (resolves the jars again and rewrites their lock)
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from benchmarks.peers.features_settings import PeerSettings
from gaitway.embedded.errors import StackError
from gaitway.embedded.jars import kafka_jars
from gaitway.embedded.lock import KAFKA_VERSION, write_lock
from gaitway.embedded.process import ServerProcess

SOURCES = Path(__file__).parent
LOCK = SOURCES / "jars.lock"
ROOTS = (
    f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}",
    "org.msgpack:msgpack-core:0.9.8",
    "org.slf4j:slf4j-simple:1.7.36",
)
MIN_JAVA = 21
_JVM = (
    "-Xmx1g",
    "-XX:+UseSerialGC",  # the least CPU on two cores
    "--enable-native-access=ALL-UNNAMED",  # no warnings about RocksDB
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


def find_jdk() -> Path | None:
    """The ``bin`` folder of a JDK with ``MIN_JAVA`` or newer: of JAVA_HOME, the PATH or /usr/lib/jvm; None without."""
    homes = [Path(os.environ["JAVA_HOME"])] if "JAVA_HOME" in os.environ else []
    if on_path := shutil.which("javac"):
        homes.append(Path(on_path).resolve().parent.parent)
    homes += sorted(Path("/usr/lib/jvm").glob("*"), reverse=True)
    return next((home / "bin" for home in homes if _java_version(home) >= MIN_JAVA), None)


def _java_version(home: Path) -> int:
    """Of the compiler; 0 where there is none."""
    if not (home / "bin" / "javac").exists():
        return 0
    done = subprocess.run([home / "bin" / "javac", "-version"], capture_output=True, text=True)
    found = re.match(r"javac (\d+)", done.stdout)
    return int(found[1]) if found else 0


class KafkaStreamsProcess(ServerProcess):
    """FeaturesStream.java with the settings of a peer; StackError: no JDK, jars or classes."""

    name = "Kafka Streams"
    log_name = "peer.log"
    ready_line = "state: RUNNING"

    def __init__(self, settings: PeerSettings) -> None:
        super().__init__()
        self._settings = settings

    def _command(self, data_dir: Path) -> list[str]:
        jdk = find_jdk()
        if jdk is None:
            raise StackError(f"{self.name} needs a JDK {MIN_JAVA} or newer")
        jars = os.pathsep.join(map(str, kafka_jars(LOCK)))
        classes = data_dir / "classes"
        compile_java(jdk, jars, classes)
        return [str(jdk / "java"), *_JVM, "-cp", f"{classes}{os.pathsep}{jars}", "FeaturesStream"]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self._settings.environment()}


def compile_java(jdk: Path, jars: str, classes: Path) -> None:
    """Compile the sources of this folder; StackError with what the compiler says."""
    options = ["--release", str(MIN_JAVA), "-Xlint:all", "-Werror", "-cp", jars, "-d", str(classes)]
    command = [str(jdk / "javac"), *options, *map(str, sorted(SOURCES.glob("*.java")))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise StackError(f"the Java classes do not compile: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    write_lock(LOCK, ROOTS)
