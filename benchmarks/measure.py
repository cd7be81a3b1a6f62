"""Measurements: work per CPU second and per second over several rounds, and their ratios."""

import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement: ``work`` units, the CPU seconds of the process under test, and seconds of the clock."""

    work: float
    cpu_s: float
    wall_s: float

    @property
    def per_core(self) -> float:
        """Units per CPU second: the throughput of one core."""
        return self.work / self.cpu_s

    @property
    def per_second(self) -> float:
        """Units per second of the clock."""
        return self.work / self.wall_s


@dataclass(slots=True)
class Measurement:
    """All rounds of one contestant; ``extra`` holds other results, such as latencies."""

    rounds: list[Round] = field(default_factory=list)
    extra: dict[str, float] = field(default_factory=dict)

    @property
    def per_core(self) -> float:
        """Median units per CPU second."""
        return statistics.median(each.per_core for each in self.rounds)

    @property
    def per_second(self) -> float:
        """Median units per second."""
        return statistics.median(each.per_second for each in self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """Minimum and maximum of units per CPU second over the rounds."""
        values = [each.per_core for each in self.rounds]
        return min(values), max(values)


@dataclass(slots=True)
class Stage:
    """One stage of the pipeline: Gaitway, the peers, and the limit (the same work without the service around it)."""

    name: str
    unit: str
    ours: Measurement = field(default_factory=Measurement)
    peers: dict[str, Measurement] = field(default_factory=dict)
    limit: Measurement | None = None

    def ratios(self) -> dict[str, float]:
        """Gaitway divided by each peer and by the "limit", per core: above 1 is faster."""
        others = self.peers | ({"limit": self.limit} if self.limit else {})
        return {name: self.ours.per_core / other.per_core for name, other in others.items()}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its threads and its living children, in s."""
    process = psutil.Process(pid)
    times: Iterable[psutil.Process] = [process, *process.children(recursive=True)]
    return sum(each.cpu_times().user + each.cpu_times().system for each in times)


@dataclass(slots=True)
class Stopwatch:
    """``round(work)`` after the block of ``watch(pid)``."""

    cpu_s: float = 0.0
    wall_s: float = 0.0

    def round(self, work: float) -> Round:
        """The measurement of the block."""
        return Round(work, self.cpu_s, self.wall_s)


@contextmanager
def watch(pid: int) -> Iterator[Stopwatch]:
    """CPU and wall-clock time that a process takes while the block runs."""
    stopwatch = Stopwatch()
    cpu_s, wall_s = cpu_seconds(pid), time.perf_counter()
    yield stopwatch
    stopwatch.cpu_s, stopwatch.wall_s = cpu_seconds(pid) - cpu_s, time.perf_counter() - wall_s
