"""activity.events: the classification of one window (architecture.md, section 8), and its identity (section 7)."""

import hashlib

import msgspec

from shared.contracts.window import Baseline

TYPE = "io.gaitway.activity.classified.v1"
SOURCE = "/gaitway/inference"


class Answer(msgspec.Struct, frozen=True):
    """The activity in a smaller label set, and its probability."""

    activity: str
    confidence: float


class ActivityEvent(msgspec.Struct, frozen=True):
    """The JSON data of one event. The fields with a default are absent in events of older versions."""

    user: str
    device: str
    window_start_ms: int
    window_end_ms: int
    utc_offset_min: int | None
    activity: str
    confidence: float
    label_set: str
    probabilities: dict[str, float]
    movement: dict[str, float]
    modalities: list[str]
    coverage: dict[str, float]
    baseline: Baseline
    model: str
    hop_ms: int
    source_received_at_ms: int
    published_at_ms: int
    nearest: str | None = None
    har7: Answer | None = None

    def encode(self) -> bytes:
        """Return JSON bytes."""
        return msgspec.json.encode(self)


def event_id(user: str, device: str, window_start_ms: int, hop_ms: int, model: str) -> str:
    """Return ``ce_id``: the same window and model always give the same id.

    It is 128 bits of SHA-256 over the parts of the identity, separated by a byte that none of them can contain.
    """
    parts = (user, device, str(window_start_ms), str(hop_ms), model)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
