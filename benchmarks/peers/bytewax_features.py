"""The features stage on Bytewax, as docs.bytewax.io has it: the Kafka connectors, and a stateful operator per user.

JSON topics, one worker. The state of a user is in the operator: the pieces of open windows, how far each modality has
come, the medians. A window is sent when all three modalities have reached its end. Recovery is on: every 10 s, its
default, the changed state and the offsets go to SQLite on disk; at least once. Not used: Bytewax's windows, whose clock
follows each user's newest value. It reads the topics one after the other, a thousand records at a time, so it would
count two of three modalities as late.

    python -m benchmarks.peers.bytewax_features    (environment: benchmarks.peers.features_settings)
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import bytewax.operators as op
import msgspec
from bytewax.connectors.kafka import KafkaSink as Sink
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from benchmarks.features_topics import JSON_TOPICS
from benchmarks.peers.features_job import HOP_MS, Medians, end_ms, pieces, slots_of, window
from benchmarks.peers.features_settings import PeerSettings
from shared.contracts.modality import MODALITY_NAMES, WINDOW_MS

READY_LINE = "the dataflow starts"
EPOCH = timedelta(seconds=10)

Piece = dict[str, Any]


@dataclass(slots=True)
class _State:
    """Of one user; pieces by the start of the hop that they lie in."""

    hops: dict[int, list[Piece]] = field(default_factory=lambda: defaultdict(list))
    ends_ms: dict[str, float] = field(default_factory=dict)
    next_ms: int = 0
    medians: Medians = field(default_factory=list)


class _UserWindows(StatefulBatchLogic[Piece, bytes, _State]):  # type: ignore[misc, unused-ignore]
    """One user's uploads to the records of the windows that they complete."""

    def __init__(self, state: _State | None) -> None:
        self._state = state or _State()

    def on_batch(self, values: list[Piece]) -> tuple[Iterable[bytes], bool]:
        return [record for upload in values for record in self._take(upload)], StatefulBatchLogic.RETAIN

    def snapshot(self) -> _State:
        """A copy: recovery pickles it later. Pieces never change."""
        state = self._state
        hops = defaultdict(list, {start_ms: parts.copy() for start_ms, parts in state.hops.items()})
        return replace(state, hops=hops, ends_ms=state.ends_ms.copy())

    def _take(self, upload: Piece) -> Iterator[bytes]:
        state = self._state
        for piece in pieces(upload):
            slot_ms = int(piece["t0_ms"] // HOP_MS * HOP_MS)
            state.hops[slot_ms].append(piece)
            state.next_ms = state.next_ms or slot_ms
            state.ends_ms[piece["modality"]] = end_ms(piece)
        complete_ms = min(state.ends_ms.get(name, 0.0) for name in MODALITY_NAMES)
        while state.next_ms + WINDOW_MS <= complete_ms:
            start_ms = state.next_ms
            parts = [piece for slot_ms in slots_of(start_ms) for piece in state.hops.get(slot_ms, ())]
            done = window(parts, start_ms, state.medians)
            if done is not None:
                record, state.medians = done
                yield record
            state.hops.pop(start_ms, None)
            state.next_ms = start_ms + HOP_MS


def _decode(messages: list[KafkaSourceMessage[bytes, bytes]]) -> list[tuple[str, Piece]]:
    return [(message.key.decode(), msgspec.json.decode(message.value)) for message in messages]


def _encode(records: list[tuple[str, bytes]]) -> list[KafkaSinkMessage[bytes, bytes]]:
    return [KafkaSinkMessage(user.encode(), record) for user, record in records]


def make_flow(settings: PeerSettings) -> Dataflow:
    """The dataflow from the three topics to the topic of windows."""
    topics = [settings.input_prefix + spec.name for spec in JSON_TOPICS.values()]
    flow = Dataflow("features")
    messages = op.input("uploads", flow, KafkaSource([settings.kafka], topics))
    uploads = op.flat_map_batch("decode", cast(Any, messages), _decode)
    records = op.stateful_batch("features", uploads, _UserWindows)
    # Kafka's own partitioner; librdkafka's default puts users elsewhere.
    sink = Sink([settings.kafka], settings.output, {"partitioner": "murmur2_random"})
    op.output("windows", op.flat_map_batch("encode", records, _encode), cast(Any, sink))
    return flow


def main() -> None:
    """Run until a signal ends it."""
    recovery = Path("recovery")
    recovery.mkdir()
    init_db_dir(recovery, 1)
    print(READY_LINE, flush=True)
    cli_main(make_flow(PeerSettings.read()), epoch_interval=EPOCH, recovery_config=RecoveryConfig(recovery))


if __name__ == "__main__":
    main()
