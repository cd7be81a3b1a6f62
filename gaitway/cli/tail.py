"""`gaitway events`: activity events on the terminal as they come."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

from gaitway.events import SHADOW_TOPIC, TOPIC, EventReader


async def tail(
    kafka: str, topic_prefix: str, *, user: str | None, from_start: bool, as_json: bool, shadow: bool
) -> None:
    """Print events until it is cancelled; raises EventsError."""
    topic = SHADOW_TOPIC if shadow else TOPIC
    async with EventReader(kafka, topic_prefix=topic_prefix, from_start=from_start, topic=topic) as events:
        async for event in events:
            if user is None or event.data["user"] == user:
                print(
                    json.dumps({"id": event.id, **event.data}) if as_json else format_event(event.data),
                    file=sys.stdout,
                    flush=True,
                )


def format_event(data: dict[str, Any]) -> str:
    """Format one event as one line."""
    start = datetime.fromtimestamp(data["window_start_ms"] / 1000, UTC)
    latency_s = (data["published_at_ms"] - data["source_received_at_ms"]) / 1000
    modalities = "+".join(data["modalities"])
    return (
        f"{start:%Y-%m-%d %H:%M:%S}Z {data['user']:<16} {data['activity']:<12} {data['confidence']:4.0%} "
        f"{modalities} (after {latency_s:.2f} s)"
    )
