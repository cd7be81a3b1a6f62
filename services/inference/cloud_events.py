"""Conversion of probabilities to CloudEvents 1.0 in Kafka's binary mode."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from shared.contracts.event import SOURCE, TYPE, ActivityEvent, Answer, event_id
from shared.contracts.labels import decide, find_nearest, project
from shared.contracts.modality import MODALITY_NAMES, WINDOW_MS
from shared.contracts.trace_context import TRACEPARENT
from shared.contracts.window import WindowRecord
from shared.kafka.batches import Headers

_CONSTANT_HEADERS = (
    ("ce_source", SOURCE.encode()),
    ("ce_type", TYPE.encode()),
    ("ce_specversion", b"1.0"),
    ("content-type", b"application/json"),
)


@dataclass(frozen=True, slots=True)
class ModelName:
    """Model properties in an event."""

    name_version: str
    label_set: str
    abstain_below: float = 0.0


def activity_event(
    user: str, window: WindowRecord, probabilities: Mapping[str, float], model: ModelName, now_ms: int
) -> ActivityEvent:
    """Make the event of one classified window."""
    activity, confidence = decide(probabilities, model.abstain_below)
    return ActivityEvent(
        user=user,
        device=window.device,
        window_start_ms=window.window_start_ms,
        window_end_ms=window.window_start_ms + WINDOW_MS,
        utc_offset_min=window.utc_offset_min,
        activity=activity,
        confidence=confidence,
        label_set=model.label_set,
        probabilities=dict(probabilities),
        movement=project(probabilities, "har2"),
        modalities=[name for name in MODALITY_NAMES if window.mask[name]],
        coverage=window.coverage,
        baseline=window.baseline,
        model=model.name_version,
        hop_ms=window.hop_ms,
        source_received_at_ms=window.source_received_at_ms,
        published_at_ms=now_ms,
        nearest=find_nearest(probabilities),
        har7=_answer_har7(probabilities, model),
    )


def _answer_har7(probabilities: Mapping[str, float], model: ModelName) -> Answer | None:
    if model.label_set == "har2":
        return None
    return Answer(*decide(project(probabilities, "har7"), model.abstain_below))


def to_message(event: ActivityEvent, traceparent: str | None) -> tuple[Headers, bytes]:
    """Return headers and value of the Kafka record.

    The headers are those of the CloudEvents SDK, which takes a third of the time of an event to check constants.
    """
    identity = event_id(event.user, event.device, event.window_start_ms, event.hop_ms, event.model)
    headers = [
        ("ce_id", identity.encode()),
        *_CONSTANT_HEADERS,
        ("ce_subject", event.user.encode()),
        ("ce_time", _format_time(event.published_at_ms)),
    ]
    if traceparent:
        headers.append((TRACEPARENT, traceparent.encode()))
    return headers, event.encode()


@lru_cache(maxsize=16)
def _format_time(at_ms: int) -> bytes:
    """Format as RFC 3339 in UTC; the events of one batch share it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z").encode()
