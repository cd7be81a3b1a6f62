"""Check the demo's events: missing, duplicate and wrong ones, accuracy and latency."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from gaitway.events import Event
from gaitway.explain.run import TOLERANCE
from gaitway.predict.classify import Score
from gaitway.replay import Watch
from shared.contracts.modality import MODALITY_NAMES
from shared.contracts.window import Baseline
from shared.model.bundle import LoadedModel
from shared.windows.featurise import window_features
from training.offline import assemble, label_at

WindowKey = tuple[str, int]
"""(user, window_start_ms); a demo's user has one device."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event and when it was read."""

    event: Event
    read_at_ms: int

    @property
    def key(self) -> WindowKey:
        """The window of the event."""
        return self.event.data["user"], self.event.data["window_start_ms"]


def count_events(expected: Iterable[WindowKey], seen: Iterable[ReceivedEvent]) -> dict[str, int]:
    """Count expected windows without an event, duplicate events, and windows with an event that nobody expects."""
    wanted = set(expected)
    counts = Counter(item.key for item in seen)
    return {
        "missing": len(wanted - counts.keys()),
        "duplicates": sum(count - 1 for count in counts.values()),
        "unexpected": len(counts.keys() - wanted),
    }


def count_wrong(watches: Iterable[Watch], seen: Iterable[ReceivedEvent], model: LoadedModel) -> int:
    """Count events whose probabilities differ from those recomputed from the recording and the event's baseline."""
    events: dict[str, list[dict[str, Any]]] = {}
    for item in seen:
        events.setdefault(item.event.data["user"], []).append(item.event.data)
    return sum(_count_wrong_of(watch, events.get(watch.name, []), model) for watch in watches)


def _count_wrong_of(watch: Watch, events: list[dict[str, Any]], model: LoadedModel) -> int:
    closed = assemble(watch.recording, user=watch.name)
    windows = {raw.window_start_ms + watch.shift_ms: raw for raw in closed.windows}
    known = [data for data in events if data["window_start_ms"] in windows]
    if not known:
        return len(events)
    raw = [
        windows[data["window_start_ms"]].without([name for name in MODALITY_NAMES if name not in data["modalities"]])
        for data in known
    ]
    baselines = [msgspec.convert(data["baseline"], Baseline) for data in known]
    masks = [{name: signal.passes for name, signal in window.signals.items()} for window in raw]
    truth = model.probabilities(window_features(raw, baselines), masks, [b.accelerometer.mg for b in baselines])
    sent = np.array([[data["probabilities"].get(name, np.nan) for name in model.classes] for data in known])
    # Written so that NaN (a missing class) counts as wrong.
    right = np.abs(truth - sent).max(axis=1) <= TOLERANCE
    return len(events) - int(np.count_nonzero(right))


def score_events(watches: Iterable[Watch], seen: Iterable[ReceivedEvent], label_set: str) -> Score:
    """Compare the events' activities with the recordings' labels."""
    by_name = {watch.name: watch for watch in watches}
    result = Score(label_set)
    for item in seen:
        watch = by_name[item.event.data["user"]]
        truth = label_at(watch.recording, item.event.data["window_start_ms"] - watch.shift_ms)
        result.add(watch.name, truth, item.event.data["activity"])
    return result


def compute_latency_s(seen: Iterable[ReceivedEvent]) -> Mapping[str, float] | None:
    """Percentiles, in s, of the time from the gateway's receipt of a window's last sample to the consumer's read."""
    values = [(item.read_at_ms - item.event.data["source_received_at_ms"]) / 1000 for item in seen]
    if not values:
        return None
    return {f"p{p}": round(float(np.percentile(values, p)), 3) for p in (50, 95, 99)}
