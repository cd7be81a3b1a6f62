"""The jars of Apache Kafka in the user's cache: downloaded once, verified against the lock at every use."""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gaitway.embedded.errors import StackError, missing_package
from gaitway.embedded.lock import KAFKA_VERSION, LOCK_PATH, Jar, read_lock, sha512

if TYPE_CHECKING:
    from jgo.maven import MavenContext

_ATTEMPTS = 3
_CONNECTIONS = 8
_log = logging.getLogger(__name__)


def jar_folder() -> Path:
    """The folder of the jars in the user's cache: below $XDG_CACHE_HOME, or ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "gaitway" / f"kafka-{KAFKA_VERSION}"


def kafka_jars(lock: Path = LOCK_PATH) -> list[Path]:
    """Return the paths of all locked jars, each verified; what is missing is fetched (the broker's are 44 MB).

    StackError: a jar differs from the lock or cannot be fetched, jgo is missing. Safe for concurrent processes.
    """
    folder, jars = jar_folder(), read_lock(lock)
    try:
        if _missing(jars, folder):
            folder.mkdir(parents=True, exist_ok=True)
            with _exclusive(folder / ".lock"):
                _fetch(_missing(jars, folder), folder, lock)
        for jar in jars:
            _verify(folder / jar.file_name, jar, lock)
    except OSError as error:
        raise StackError(f"the jars of Apache Kafka in {folder}: {error}") from error
    return [folder / jar.file_name for jar in jars]


def _missing(jars: list[Jar], folder: Path) -> list[Jar]:
    return [jar for jar in jars if not (folder / jar.file_name).exists()]


def _fetch(jars: list[Jar], folder: Path, lock: Path) -> None:
    if not jars:  # another process was faster
        return
    try:
        from jgo.config import GlobalSettings
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.maven import MavenContext
    except ImportError as error:
        raise missing_package("jgo") from error
    _log.info("fetching %d jars of Apache Kafka %s into %s, once", len(jars), KAFKA_VERSION, folder)
    part = folder / ".part"
    shutil.rmtree(part, ignore_errors=True)  # left by a process that died
    # Repositories from a jgo configuration file, such as a company's mirror, come first.
    repositories = {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}
    context = MavenContext(repo_cache=part, remote_repos=repositories)

    def fetch(jar: Jar) -> None:
        file = _download(jar, context)
        _verify(file, jar, lock)
        file.replace(folder / jar.file_name)  # atomic: a file with this name is complete and verified

    try:
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            list(pool.map(fetch, jars))
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _download(jar: Jar, context: "MavenContext") -> Path:
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    file = artifact.cached_path
    assert file is not None
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return artifact.resolve()
        except (OSError, RuntimeError) as error:  # network errors, and jgo's for a jar that no repository has
            file.unlink(missing_ok=True)  # jgo leaves partial files
            if attempt == _ATTEMPTS:
                raise StackError(f"cannot fetch {jar.file_name} of Apache Kafka: {error}") from error
    raise AssertionError


def _verify(file: Path, jar: Jar, lock: Path) -> None:
    if sha512(file) != jar.sha512:
        raise StackError(f"{file} is not the jar in {lock.name} (SHA-512 differs): delete it to fetch it again")


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # released when the file is closed, also by the death of the process
        yield
