"""From closed windows to window records: baseline, features, baseline update (architecture.md, sections 5 and 6)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.contracts.gap import Gap, GapReason
from shared.contracts.modality import MODALITIES
from shared.contracts.window import Baseline, FeatureArrays, WindowRecord
from shared.signal.baseline import Hop, compute_statistics, get_baselines
from shared.signal.features import FEATURE_VERSION, accelerometer_features, heart_rate_features, steps_features
from shared.signal.user_state import UserState
from shared.windows.closed_window import ClosedWindow


class Baselines(Protocol):
    """Source of users' baselines, which windows update."""

    def get(self, users: Sequence[str], windows_mg: Sequence[NDArray[np.float64]]) -> list[Baseline]:
        """The numbers for the next window of each of these users, who are all different."""

    def check(self, user: str, device: str, hop: Hop) -> dict[str, GapReason]:
        """The modalities that must not reach the model in the window with this newest hop, with the reason."""

    def update(self, user: str, device: str, hop: Hop) -> None:
        """Add the newest hop of a window that was computed with ``get``'s numbers."""


class MemoryBaselines:
    """Baselines of users in memory only: for `predict`, training and tests."""

    def __init__(self) -> None:
        self._users: dict[str, UserState] = {}

    def state(self, user: str) -> UserState:
        """What is kept of one user."""
        return self._users.setdefault(user, UserState())

    def states(self) -> Iterable[UserState]:
        """What is kept of each user."""
        return self._users.values()

    def get(self, users: Sequence[str], windows_mg: Sequence[NDArray[np.float64]]) -> list[Baseline]:
        """See Baselines."""
        return get_baselines([self.state(user).baseline for user in users], windows_mg, [True] * len(users))

    def check(self, user: str, device: str, hop: Hop) -> dict[str, GapReason]:
        """See Baselines."""
        return self.state(user).check(device, hop)

    def update(self, user: str, device: str, hop: Hop) -> None:
        """See Baselines."""
        self.state(user).update(device, hop)


def window_features(windows: Sequence[ClosedWindow], baselines: Sequence[Baseline]) -> list[FeatureArrays]:
    """Compute f(samples, baseline) of many windows with one array operation per modality; zeros if masked."""
    if not windows:
        return []
    accelerometer = np.stack([w.signals["accelerometer"].values for w in windows])
    heart = np.stack([w.signals["heart_rate"].values for w in windows])
    steps = np.stack([w.signals["steps"].values for w in windows])
    arrays = {
        "accelerometer": accelerometer_features(accelerometer, np.array([b.accelerometer.mg for b in baselines])),
        "heart_rate": heart_rate_features(heart, np.array([b.heart_rate.bpm for b in baselines])),
        "steps": steps_features(steps),
    }
    for modality in MODALITIES:
        passes = np.array([w.signals[modality.name].passes for w in windows])
        arrays[modality.name][~passes] = 0.0
    half = {name: array.astype(np.float16) for name, array in arrays.items()}
    return [{name: array[i] for name, array in half.items()} for i in range(len(windows))]


@dataclass(slots=True)
class Featurised:
    """Results of closed windows, in order: records to publish, and gaps where the accelerometer fails a check."""

    windows: list[tuple[ClosedWindow, WindowRecord]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


def featurise(windows: Sequence[ClosedWindow], baselines: Baselines) -> Featurised:
    """Window records; each is computed with the baseline before its own update."""
    return featurise_all([(windows, baselines)])[0]


def featurise_all(groups: Sequence[tuple[Sequence[ClosedWindow], Baselines]]) -> list[Featurised]:
    """The same for groups of windows with separate baselines, in few array operations over all of them."""
    hops = [[window.newest_hop() for window in windows] for windows, _ in groups]
    compute_statistics([hop for group in hops for hop in group])
    kept: list[ClosedWindow] = []
    used: list[Baseline] = []
    results: list[Featurised] = []
    ends: list[int] = []
    for (windows, baselines), group_hops in zip(groups, hops, strict=True):
        out = Featurised()
        for first, last in _runs_of_different_users(windows):
            some, some_hops = windows[first:last], group_hops[first:last]
            failures = [baselines.check(w.user, w.device, hop) for w, hop in zip(some, some_hops, strict=True)]
            before = baselines.get([w.user for w in some], [w.signals["accelerometer"].values for w in some])
            for window, hop, failed, baseline in zip(some, some_hops, failures, before, strict=True):
                baselines.update(window.user, window.device, hop)
                for name, reason in failed.items():
                    out.gaps.append(window.gap(name, reason))
                if "accelerometer" not in failed:
                    kept.append(window.without(failed))
                    used.append(baseline)
        results.append(out)
        ends.append(len(kept))
    records = list(map(window_record, kept, used, window_features(kept, used)))
    for out, (first, last) in zip(results, pairwise([0, *ends]), strict=True):
        out.windows = list(zip(kept[first:last], records[first:last], strict=True))
    return results


def _runs_of_different_users(windows: Sequence[ClosedWindow]) -> Iterator[tuple[int, int]]:
    """Split the windows, in order, where a user comes again; a live stream has one run."""
    first = 0
    users: set[str] = set()
    for index, window in enumerate(windows):
        if window.user in users:
            yield first, index
            first = index
            users.clear()
        users.add(window.user)
    if windows:
        yield first, len(windows)


def window_record(window: ClosedWindow, baseline: Baseline, features: FeatureArrays) -> WindowRecord:
    """The Kafka record of one window."""
    return WindowRecord(
        device=window.device,
        window_start_ms=window.window_start_ms,
        hop_ms=window.hop_ms,
        feature_version=FEATURE_VERSION,
        mask={m.name: window.signals[m.name].passes for m in MODALITIES},
        coverage={m.name: window.signals[m.name].coverage for m in MODALITIES},
        baseline=baseline,
        source_received_at_ms=window.source_received_at_ms,
        utc_offset_min=window.utc_offset_min,
        features=features,
    )
