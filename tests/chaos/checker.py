"""The history checker: what the watches were answered, against what a consumer saw. Knows the contract, not the code.

Each event is held against the model that it names. An event of the shadow's topic needs a live event of its window.

It reports `lost` (an expected window without an event), `twice` (a second event of a window, or of an id) and `wrong`
(an event that is not f(samples, baseline in the event), that nobody's data call for, or whose baseline is not that of
the user's windows before it).

Of what is implausible (section 4) it knows zeros and nulls. What takes minutes of the same value, a frozen sensor or
a watch that is not worn, the recordings of a chaos run do not hold.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tests.chaos.baselines import baseline_faults
from tests.chaos.contract import KINDS, WINDOW_MS, features
from tests.chaos.history import ReceivedEvent, Sent
from tests.chaos.network import NumpyNetwork
from tests.chaos.stall import longest_stall_s
from tests.chaos.windows import Key, Signals, Window, windows_of

TOLERANCE = 1e-4
"""Of a probability; float16 features may differ in their last bit between two ways to compute them."""
BATCH = 256
SETTLED_MS = 45_000
"""By then a service that was killed together with Redis reads the log where it had been (20 s), and one that was not
has written its users again: 25 s of log time after their next window."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What of the run's settings the contract depends on.

    ``losses``: when (ms) Redis lost its content. Until a grace period later users may begin anew, visibly.
    """

    hop_ms: int
    grace_ms: float
    losses: tuple[float, ...] = ()

    @property
    def doubts(self) -> list[tuple[float, float]]:
        """Spans in which a baseline may be another one than that of all windows before."""
        return [(loss_ms, loss_ms + self.grace_ms + SETTLED_MS) for loss_ms in self.losses]


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation: the window and what is wrong with it."""

    key: Key
    what: str


@dataclass(slots=True)
class Verdict:
    """What the checker found."""

    windows: dict[Key, Window]
    lost: list[Finding] = field(default_factory=list)
    twice: list[Finding] = field(default_factory=list)
    wrong: list[Finding] = field(default_factory=list)
    shadow: list[Finding] = field(default_factory=list)
    baselines_checked: int = 0
    longest_stall_s: float = 0.0

    @property
    def windows_expected(self) -> int:
        """Windows that must have an event."""
        return sum(window.expected for window in self.windows.values())

    @property
    def windows_uncertain(self) -> int:
        """Windows that may have one."""
        return sum(window.uncertain for window in self.windows.values())

    @property
    def is_clean(self) -> bool:
        """Nothing lost, nothing twice, nothing wrong, nor anything on the shadow's topic."""
        return not (self.lost or self.twice or self.wrong or self.shadow)


Networks = Mapping[str, NumpyNetwork]
"""By the name that events carry."""


def check(
    uploads: Collection[Sent],
    events: Collection[ReceivedEvent],
    networks: Networks,
    rules: Rules,
    shadow_events: Collection[ReceivedEvent] = (),
) -> Verdict:
    """Hold the events against the uploads, and those of the shadow against both."""
    windows = {window.key: window for window in windows_of(uploads, rules.hop_ms, rules.grace_ms)}
    verdict = Verdict(windows)
    seen = {_key(event) for event in events}
    verdict.lost = [
        Finding(key, "expected, and no event came")
        for key, window in windows.items()
        if window.expected and key not in seen
    ]
    verdict.twice = list(_twice(events))
    verdict.wrong = [*_wrong_form(events, rules, networks), *_wrong_numbers(windows, events, networks)]
    verdict.shadow = [
        *_wrong_shadow(events, shadow_events),
        *_wrong_form(shadow_events, rules, networks),
        *_wrong_numbers(windows, shadow_events, networks),
    ]
    verdict.baselines_checked, faults = baseline_faults(uploads, windows, events, rules.doubts)
    verdict.wrong += [Finding(key, what) for key, what in faults]
    verdict.longest_stall_s = longest_stall_s(windows, events, rules.grace_ms)
    return verdict


def _key(event: ReceivedEvent) -> Key:
    return event.identity[:3]


def _twice(events: Iterable[ReceivedEvent]) -> Iterable[Finding]:
    by_identity, by_id = Counter[object](), Counter[str]()
    for event in events:
        by_identity[event.identity] += 1
        by_id[event.headers.get("ce_id", "")] += 1
        if by_identity[event.identity] > 1:
            yield Finding(_key(event), f"event {by_identity[event.identity]} of this window, {_place(event)}")
        elif by_id[event.headers.get("ce_id", "")] > 1:
            yield Finding(_key(event), f"a ce_id that another window has, {_place(event)}")


def _wrong_shadow(events: Iterable[ReceivedEvent], shadow_events: Iterable[ReceivedEvent]) -> Iterable[Finding]:
    """At most one of a window and model, and of a window with a live event of another model, from the same input."""
    live = {event.identity: event.data for event in events}
    seen = Counter[object]()
    for event in shadow_events:
        seen[event.identity, event.data["model"]] += 1
        if seen[event.identity, event.data["model"]] > 1:
            yield Finding(_key(event), f"a second event of the shadow {event.data['model']}, {_place(event)}")
        if (its := live.get(event.identity)) is None:
            yield Finding(_key(event), f"the shadow's event of a window without a live one, {_place(event)}")
        elif its["model"] == event.data["model"]:
            yield Finding(_key(event), f"the live event is of the shadow's model, {_place(event)}")
        elif any(its[name] != event.data[name] for name in ("baseline", "coverage", "modalities")):
            yield Finding(_key(event), f"the shadow saw another input than the live model, {_place(event)}")


def _wrong_form(events: Iterable[ReceivedEvent], rules: Rules, networks: Networks) -> Iterable[Finding]:
    partitions: dict[str, int] = {}
    for event in events:
        data = event.data
        network = networks.get(data["model"])
        if network is None:
            yield Finding(_key(event), f"an event of a model that nobody has, {data['model']}, {_place(event)}")
            continue
        claims = {
            "key": event.key == data["user"],
            "partition": partitions.setdefault(data["user"], event.partition) == event.partition,
            "hop_ms": data["hop_ms"] == rules.hop_ms,
            "window_end_ms": data["window_end_ms"] == data["window_start_ms"] + WINDOW_MS,
            "confidence": data["confidence"] == max(data["probabilities"].values(), default=None),
            "activity": data["activity"] == "unknown"
            if data["confidence"] < network.abstain_below
            else data["probabilities"].get(data["activity"]) == data["confidence"],
        }
        if broken := [name for name, holds in claims.items() if not holds]:
            yield Finding(_key(event), f"{', '.join(broken)} not as the contract says, {_place(event)}")


def _wrong_numbers(
    windows: dict[Key, Window], events: Iterable[ReceivedEvent], networks: Networks
) -> Iterable[Finding]:
    compared: list[tuple[ReceivedEvent, Signals]] = []
    for event in events:
        window = windows.get(_key(event))
        if window is None or not window.contents:
            yield Finding(_key(event), f"an event for which nobody sent the data, {_place(event)}")
            continue
        compared += [(event, signals) for signals in window.contents]
    # An uncertain window may have held one of several things: its best one counts.
    off: dict[int, float] = defaultdict(lambda: np.inf)
    for name, network in networks.items():
        its = [(event, signals) for event, signals in compared if event.data["model"] == name]
        for begin in range(0, len(its), BATCH):
            some = its[begin : begin + BATCH]
            for (event, _), distance in zip(some, _distances(some, network), strict=True):
                off[id(event)] = min(off[id(event)], distance)
    for event, _ in {id(event): (event, signals) for event, signals in compared}.values():
        if not off[id(event)] <= TOLERANCE:
            yield Finding(
                _key(event), f"not f(samples, baseline): a probability is off by {off[id(event)]:.4g}, {_place(event)}"
            )


def _distances(compared: list[tuple[ReceivedEvent, Signals]], network: NumpyNetwork) -> list[float]:
    """Per event the largest difference of a probability; infinite where modalities or classes differ."""
    values = {kind.name: np.stack([s[kind.name].values for _, s in compared]) for kind in KINDS}
    masks = {kind.name: np.array([s[kind.name].passes for _, s in compared]) for kind in KINDS}
    mg = np.array([event.data["baseline"]["accelerometer"]["mg"] for event, _ in compared], dtype=np.float64)
    bpm = np.array([event.data["baseline"]["heart_rate"]["bpm"] for event, _ in compared], dtype=np.float64)
    truth = network.probabilities(features(**values, baseline_mg=mg, baseline_bpm=bpm), masks)
    distances = []
    for (event, signals), row in zip(compared, truth, strict=True):
        stated = [event.data["probabilities"].get(name, np.inf) for name in network.classes]
        same_modalities = event.data["modalities"] == [kind.name for kind in KINDS if signals[kind.name].passes]
        same_coverage = all(
            abs(event.data["coverage"][kind.name] - signals[kind.name].coverage) < 1e-6 for kind in KINDS
        )
        fits = same_modalities and same_coverage and len(event.data["probabilities"]) == len(network.classes)
        distances.append(float(np.abs(row - stated).max()) if fits else np.inf)
    return distances


def _place(event: ReceivedEvent) -> str:
    return f"partition {event.partition} offset {event.offset}"
