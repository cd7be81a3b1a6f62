"""The lock of Apache Kafka's jars: kafka.lock beside this file, one `group:artifact:version sha512:HEX` a line.

`python -m gaitway.embedded --lock` rewrites it: do that after a change of KAFKA_VERSION, and review the diff.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gaitway.embedded.errors import StackError

KAFKA_VERSION = "4.0.2"
# slf4j-simple writes Kafka's log to stderr without a configuration file; its version is that of Kafka's slf4j-api.
ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
LOCK_PATH = Path(__file__).with_name("kafka.lock")

_CONNECTIONS = 8


@dataclass(frozen=True)
class Jar:
    """One locked jar: Maven coordinates and the SHA-512 of the file in hex."""

    group: str
    artifact: str
    version: str
    sha512: str

    @property
    def file_name(self) -> str:
        """Name of the file, here and in a Maven repository."""
        return f"{self.artifact}-{self.version}.jar"

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a line of the lock; ValueError when it is none."""
        coordinates, checksum = line.split()
        group, artifact, version = coordinates.split(":")
        algorithm, sha512 = checksum.split(":")
        if algorithm != "sha512" or len(bytes.fromhex(sha512)) != hashlib.sha512().digest_size:
            raise ValueError(f"{checksum!r} is no SHA-512")
        return cls(group, artifact, version, sha512)

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version} sha512:{self.sha512}"


def read_lock(path: Path = LOCK_PATH) -> list[Jar]:
    """Read the locked jars; StackError names file and line of what is wrong."""
    jars = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line and not line.startswith("#"):
            try:
                jars.append(Jar.parse(line))
            except ValueError as error:
                raise StackError(f"{path}, line {number}: not a locked jar ({error})") from error
    return jars


def write_lock(path: Path = LOCK_PATH, roots: Sequence[str] = ROOTS) -> None:
    """Resolve roots with all their dependencies, fetch every jar into the Maven cache and write the lock."""
    import jgo

    artifacts = jgo.resolve("+".join(roots))
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        files = list(pool.map(lambda artifact: artifact.resolve(), artifacts))
    jars = [Jar(a.groupId, a.artifactId, a.version, sha512(file)) for a, file in zip(artifacts, files, strict=True)]
    header = f"# All that these need to run, as `write_lock` has found it: {', '.join(roots)}.\n"
    path.write_text(header + "".join(f"{jar}\n" for jar in sorted(jars, key=str)), encoding="utf-8")


def sha512(file: Path) -> str:
    """SHA-512 of a file in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha512").hexdigest()
