"""The features stage on plain faust-streaming (faust-streaming.github.io/faust/userguide: agents, tables, models).

One agent, record by record, JSON values; the state of a user is in tables, with changelog topics: the pieces of
each hop, how far each modality has come, the medians. A window is sent when all three modalities have reached its end.
At least once; keys of finished hops leave the table. Not used: Faust's windowed tables, which never hand over the
aggregate of a window that closes.

    python -m benchmarks.peers.faust_features --loop uvloop worker    (environment: benchmarks.peers.features_settings)
"""

from typing import Any

import faust

from benchmarks.features_topics import JSON_TOPICS, PARTITIONS
from benchmarks.peers.features_job import HOP_MS, end_ms, pieces, slots_of, window
from benchmarks.peers.features_settings import PeerSettings
from shared.contracts.modality import MODALITY_NAMES, WINDOW_MS

settings = PeerSettings.read()
app = faust.App(
    settings.group,
    broker=f"kafka://{settings.kafka}",
    store="memory://",
    datadir=".",
    topic_partitions=PARTITIONS,
    topic_replication_factor=1,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    stream_wait_empty=False,
    web_enabled=False,
)
uploads = app.topic(*(settings.input_prefix + spec.name for spec in JSON_TOPICS.values()), key_type=str)
windows = app.topic(settings.output, key_type=str, value_serializer="raw")
hops = app.Table("hops", default=list)
progress = app.Table("progress", default=dict)
medians = app.Table("medians", default=list)


@app.agent(uploads)
async def features(stream: faust.StreamT[Any]) -> None:
    """Process each upload and send the windows that it completes."""
    async for user, upload in stream.items():
        user_progress = progress[user]
        for piece in pieces(upload):
            slot = f"{user}/{_slot_of(piece)}"
            hops[slot] = [*hops[slot], piece]
            user_progress.setdefault("next_ms", _slot_of(piece))
            user_progress[piece["modality"]] = end_ms(piece)
        complete_ms = min(user_progress.get(name, 0.0) for name in MODALITY_NAMES)
        while user_progress["next_ms"] + WINDOW_MS <= complete_ms:
            start_ms = user_progress["next_ms"]
            parts = [piece for slot_ms in slots_of(start_ms) for piece in hops[f"{user}/{slot_ms}"]]
            done = window(parts, start_ms, medians[user])
            if done is not None:
                record, medians[user] = done
                await windows.send(key=user, value=record)
            hops.pop(f"{user}/{start_ms}", None)
            user_progress["next_ms"] = start_ms + HOP_MS
        progress[user] = user_progress


def _slot_of(piece: dict[str, Any]) -> int:
    """Start of the hop that a piece lies in."""
    return int(piece["t0_ms"] // HOP_MS * HOP_MS)


if __name__ == "__main__":
    app.main()
