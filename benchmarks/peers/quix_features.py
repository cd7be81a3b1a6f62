"""The features stage on Quix Streams, as https://quix.io/docs/quix-streams has it: windowing, concatenating, state.

JSON topics, its default; the three of them concatenated, which reads them side by side in the order of time; hopping
windows of 20 s in event time per user that collect their pieces and come out when closed; the medians in its state.
State in RocksDB with changelog topics, commits every 5 s, at least once: its defaults. A window closes when the user's
next upload says that its end has passed by the length of an upload; so the last windows of a log stay open.

    python -m benchmarks.peers.quix_features    (environment: benchmarks.peers.features_settings)
"""

from datetime import timedelta
from typing import Any

from quixstreams import Application, State
from quixstreams.dataframe.windows import Collect

from benchmarks.features_topics import JSON_TOPICS
from benchmarks.peers.features_job import GRACE_MS, HOP_MS, Medians, pieces, window
from benchmarks.peers.features_settings import PeerSettings
from shared.contracts.modality import WINDOW_MS


def _features(closed: dict[str, Any], state: State[str, Medians]) -> bytes | None:
    done = window(closed["value"], closed["start"], state.get("medians", []))
    if done is None:
        return None
    record, medians = done
    state.set("medians", medians)
    return record


def main() -> None:
    """Run until a signal ends it."""
    settings = PeerSettings.read()
    app = Application(broker_address=settings.kafka, consumer_group=settings.group, auto_offset_reset="earliest")
    accelerometer, heart_rate, steps = (
        app.dataframe(app.topic(settings.input_prefix + spec.name)) for spec in JSON_TOPICS.values()
    )
    sdf = accelerometer.concat(heart_rate).concat(steps)
    sdf = sdf.apply(pieces, expand=True)
    sdf = sdf.set_timestamp(lambda piece, _key, _timestamp, _headers: int(piece["t0_ms"]))
    sdf = (
        sdf.hopping_window(
            timedelta(milliseconds=WINDOW_MS), timedelta(milliseconds=HOP_MS), grace_ms=timedelta(milliseconds=GRACE_MS)
        )
        .agg(value=Collect())
        .final()
    )
    sdf = sdf.apply(_features, stateful=True)
    sdf = sdf.filter(lambda record: record is not None)
    sdf.to_topic(app.topic(settings.output, value_serializer="bytes"))
    app.run()


if __name__ == "__main__":
    main()
