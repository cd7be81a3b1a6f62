"""What happens when, all of it from one seed: which fault, to whom, for how long."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from random import Random

SESSION_TIMEOUT_MS = 6_000
PAUSE_S = SESSION_TIMEOUT_MS / 1000 + 2.5
"""Longer than the session: the group goes on without the paused member, who wakes up as a zombie."""

QUIET_S = (3.0, 9.0)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: its possible victims, how long it lasts at least and at most (s)."""

    name: str
    victims: tuple[str, ...]
    least_s: float
    most_s: float
    loses_baselines: bool = False


WORKERS = ("features", "inference")
KINDS = {
    kind.name: kind
    for kind in (
        Kind("kill", ("ingest", *WORKERS), 0.0, 2.0),
        # The others take its partitions over before it is back.
        Kind("kill-long", WORKERS, SESSION_TIMEOUT_MS / 1000 + 1, SESSION_TIMEOUT_MS / 1000 + 3),
        Kind("terminate", ("ingest", *WORKERS), 0.0, 1.0),
        Kind("pause", WORKERS, PAUSE_S, PAUSE_S + 2),
        # Of three, the others go on without it.
        Kind("broker-kill", ("broker",), 0.0, 8.0),
        # What ingest has not handed over dies with it.
        Kind("broker-and-ingest-kill", ("broker",), 1.5, 2.5),
        Kind("redis-kill", ("redis",), 0.5, 3.0, loses_baselines=True),
        Kind("redis-pause", ("redis",), 3.0, 6.0),
        Kind("redis-flush", ("redis",), 0.0, 0.0, loses_baselines=True),
        # Nobody is left who remembers what was final: the ledger alone stands against a second event.
        Kind("redis-flush-and-features-kill", ("redis",), 0.0, 0.0, loses_baselines=True),
        Kind("redis-pause-and-features-kill", ("redis",), 2.0, 4.0),
    )
}


KINDS_OF_INJECTED_FAULT = {
    "ack-early": ("broker-and-ingest-kill",),
    "no-transaction": ("kill",),
    "no-ledger": ("redis-flush-and-features-kill",),
    "stale-baseline": ("kill",),
    "lost-upload": ("kill",),
}
"""What shows an injected fault soonest: a run with one meets these alone, unless others are given."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the plan."""

    after_s: float
    """Of quiet since the one before: each meets a running pipeline."""
    kind: str
    victim: str
    for_s: float

    def __str__(self) -> str:
        return f"after {self.after_s:.1f} s {self.kind} {self.victim} for {self.for_s:.1f} s"


def plan(seed: int, workers: int, brokers: int, only: Collection[str] = ()) -> Iterator[Fault]:
    """Faults without end: every kind on every kind of victim, in random order, again and again.

    ``workers``: of features and of inference each; ``only``: these kinds, all by default.
    """
    random = Random(seed)
    kinds = [kind for name, kind in KINDS.items() if not only or name in only]
    everything = [(kind, victim) for kind in kinds for victim in kind.victims]
    while True:
        random.shuffle(everything)
        for kind, victim in everything:
            several = {"features": workers, "inference": workers, "broker": brokers}.get(victim)
            name = victim if several is None else f"{victim}-{random.randrange(several)}"
            for_s = random.uniform(kind.least_s, kind.most_s)
            yield Fault(random.uniform(*QUIET_S), kind.name, name, for_s)
