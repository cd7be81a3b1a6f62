"""Conversion of probabilities to CloudEvents 1.0 in Kafka's binary mode."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cloudevents.core.bindings.kafka import to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from shared.contracts.event import SOURCE, TYPE, ActivityEvent, Answer, event_id
from shared.contracts.labels import decide, find_nearest, project
from shared.contracts.modality import MODALITY_NAMES, WINDOW_MS
from shared.contracts.trace_context import TRACEPARENT
from shared.contracts.window import WindowRecord

Headers = list[tuple[str, bytes]]
_FORMAT = JSONFormat()


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
    """Return headers and value of the Kafka record."""
    cloud_event = CloudEvent(
        attributes={
            "id": event_id(event.user, event.device, event.window_start_ms, event.hop_ms, event.model),
            "source": SOURCE,
            "type": TYPE,
            "specversion": "1.0",
            "subject": event.user,
            "time": datetime.fromtimestamp(event.published_at_ms / 1000, UTC),
            "datacontenttype": "application/json",
        },
        data=event.encode(),
    )
    message = to_binary(cloud_event, _FORMAT)
    headers = list(message.headers.items())
    if traceparent:
        headers.append((TRACEPARENT, traceparent.encode()))
    return headers, message.value
