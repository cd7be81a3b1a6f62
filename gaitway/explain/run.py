"""`gaitway explain`: recompute one event from its part of the log."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from numpy.typing import NDArray

from gaitway.errors import CommandError
from gaitway.events import Event, EventReader
from gaitway.explain.report import Explanation, ModalityUse, Source
from services.features.partition_task import PartitionTask
from shared.contracts.event import ActivityEvent
from shared.contracts.labels import decide
from shared.contracts.modality import MODALITY_NAMES, WINDOW_MS
from shared.contracts.samples import SampleRecord
from shared.contracts.time_limits import HOUR_MS
from shared.contracts.topics import SAMPLE_TOPICS
from shared.contracts.window import Baseline
from shared.kafka.aiokafka_patches import tolerate_invalid_header_names
from shared.model.bundle import LoadedModel
from shared.windows.assembler import AssemblyResult
from shared.windows.closed_window import ClosedWindow
from shared.windows.featurise import MemoryBaselines, window_features
from shared.windows.merge import LogRecord

TOLERANCE = 1e-5
"""Probabilities of different batch sizes differ in the last bits (docs/guarantees.md, promise 3)."""

MAX_BUFFERED_RECORDS = 10_000
"""A topic that is further ahead of the others is paused."""

TOPICS = tuple(spec.name for spec in SAMPLE_TOPICS.values())


class _Entry(NamedTuple):
    """The fields of a Kafka record that PartitionTask reads."""

    offset: int
    timestamp: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Recomputation:
    """Folds the event's partition as features does, until the event's window closes; does no I/O.

    A user's windows do not depend on other users' data: their records only advance the log time. The event says by its
    start whether the grid has phases.
    """

    def __init__(self, recorded: ActivityEvent, partition: int, grace_ms: int) -> None:
        self.window: ClosedWindow | None = None
        self.closed = False
        self.sources: list[Source] = []
        self.gaps: dict[str, str] = {}
        self.baseline: Baseline | None = None
        self.failed_checks: dict[str, str] = {}
        self._recorded = recorded
        self._partition = PartitionTask(
            partition,
            recorded.hop_ms,
            grace_ms,
            [None] * len(TOPICS),
            phase_per_user=recorded.window_start_ms % recorded.hop_ms != 0,
        )
        self._baselines = MemoryBaselines()
        self._stamps: dict[str, list[NDArray[np.float64]]] = {name: [] for name in MODALITY_NAMES}

    def deliver(self, topic: int, records: Iterable[Any]) -> None:
        """Add the next records of one topic and process those whose place in the order is certain."""
        user = self._recorded.user.encode()
        self._partition.deliver(
            topic,
            [
                _Entry(r.offset, r.timestamp, r.key, r.value, r.headers)
                if r.key == user
                else _Entry(r.offset, r.timestamp)
                for r in records
            ],
        )
        for record in self._partition.release():
            if self.closed:
                return
            self._process(record)

    def count_waiting(self, topic: int) -> int:
        """Records of the topic that wait for the others."""
        return self._partition.waiting(topic)

    def count_samples(self, name: str) -> int:
        """Distinct stamps of the modality inside the window; nulls count."""
        stamps = self._stamps[name]
        return len(np.unique(np.concatenate(stamps))) if stamps else 0

    def _process(self, record: LogRecord) -> None:
        recorded = self._recorded
        closed = self._partition.fold(record)
        self.closed = (recorded.user, recorded.device, recorded.window_start_ms) in closed.final
        self._update_baseline(closed)
        # A record that comes when the grace period has ended is too late for the window.
        is_late = self.closed and (self.window is None or self.window.closed_by == "grace")
        if record.samples is not None and not is_late:
            self._add_source(record, record.samples)

    def _update_baseline(self, closed: AssemblyResult) -> None:
        recorded = self._recorded
        for gap in closed.gaps:
            if (gap.device, gap.start_ms, gap.end_ms) == (
                recorded.device,
                recorded.window_start_ms,
                recorded.window_end_ms,
            ):
                self.gaps[gap.modality] = gap.reason
        for window in closed.windows:
            hop = window.newest_hop()
            if (window.device, window.window_start_ms) == (recorded.device, recorded.window_start_ms):
                self.window = window
                self.failed_checks = dict(self._baselines.check(window.user, window.device, hop))
                self.baseline = self._baselines.get([window.user], [window.signals["accelerometer"].values])[0]
                return
            self._baselines.check(window.user, window.device, hop)
            self._baselines.update(window.user, window.device, hop)

    def _add_source(self, record: LogRecord, samples: SampleRecord) -> None:
        if samples.device != self._recorded.device:
            return
        t_ms: NDArray[np.float64] = samples.t0_ms + np.arange(samples.n, dtype=np.float64) * (1000.0 / samples.rate_hz)
        start_ms = self._recorded.window_start_ms
        inside = t_ms[(t_ms >= start_ms) & (t_ms < start_ms + WINDOW_MS)]
        if not inside.size:
            return
        topic, partition = TOPICS[record.topic], self._partition.number
        self.sources.append(
            Source(topic, partition, record.offset, inside.size, samples.session, samples.seq, record.log_ms)
        )
        self._stamps[samples.modality.name].append(inside)


def compare(
    event: Event, recorded: ActivityEvent, recomputation: Recomputation, model: LoadedModel, *, whole: bool
) -> Explanation:
    """Compare the event with what the log gives.

    ``whole``: the log was read from its first record, so that the baseline covers the user's whole history.

    Raises:
        CommandError: the log gives no such window.
    """
    raw = recomputation.window
    if raw is None:
        raise CommandError(f"event {event.id}: {_why_no_window(recomputation, whole=whole)}")
    used = raw.without([name for name in MODALITY_NAMES if name not in recorded.modalities])
    mask = {name: signal.passes for name, signal in used.signals.items()}
    features = window_features([used], [recorded.baseline])
    row = model.probabilities(features, [mask], [recorded.baseline.accelerometer.mg])[0]
    found = dict(zip(model.classes, map(float, row), strict=True))
    largest = float(np.max([abs(found[name] - recorded.probabilities.get(name, np.nan)) for name in found]))
    differences = []
    # Written so that NaN (a missing class) differs.
    if not largest <= TOLERANCE or recorded.probabilities.keys() != found.keys():
        differences.append("probabilities")
    # By the event's own probabilities: the last bits may decide between two nearly equal classes.
    if recorded.probabilities and (recorded.activity, recorded.confidence) != decide(
        recorded.probabilities, model.abstain_below
    ):
        differences.append("activity")
    if any(name not in MODALITY_NAMES or not raw.signals[name].passes for name in recorded.modalities):
        differences.append("modalities")
    if any(abs(recorded.coverage.get(name, -1.0) - raw.signals[name].coverage) > 1e-9 for name in MODALITY_NAMES):
        differences.append("coverage")
    if recorded.source_received_at_ms != raw.source_received_at_ms:
        differences.append("receipt of the last sample")
    return Explanation(
        event=event,
        recorded=recorded,
        closed_by=raw.closed_by,
        whole_log=whole,
        sources=recomputation.sources,
        modalities={
            name: ModalityUse(
                recomputation.count_samples(name),
                raw.signals[name].coverage,
                _why_masked(name, recorded, raw, recomputation),
            )
            for name in MODALITY_NAMES
        },
        baseline=recomputation.baseline if whole else None,
        probabilities=found,
        largest_difference=largest,
        differences=differences,
    )


def _why_masked(name: str, recorded: ActivityEvent, raw: ClosedWindow, recomputation: Recomputation) -> str | None:
    if name in recorded.modalities:
        return None
    if not raw.signals[name].passes:
        return raw.failed.get(name, "not announced")
    return recomputation.failed_checks.get(name, "failed quality checks then")


def _why_no_window(recomputation: Recomputation, *, whole: bool) -> str:
    if recomputation.closed:
        reasons = ", ".join(f"{name}: {reason}" for name, reason in recomputation.gaps.items())
        text = f"from the log its window is a gap ({reasons})"
    elif recomputation.sources:
        text = "its window is still open at the end of the log; is --grace-s that of features?"
    else:
        text = "the log holds no sample of its window"
    return text if whole else f"{text}; the log was not read from its first record"


async def explain(
    kafka: str, topic_prefix: str, event_id: str, model: LoadedModel, *, grace_s: float, hours: float | None
) -> Explanation:
    """Find and recompute the event. ``hours``: how far before the window's last sample to read the log; None: all.

    Raises:
        CommandError: there is no such event, another model made it, or the log no longer has its window.
        EventsError: Kafka does not answer.
    """
    async with EventReader(kafka, topic_prefix=topic_prefix, from_start=True) as reader:
        event = await reader.find(event_id)
    if event is None:
        raise CommandError(f"Kafka at {kafka} has no event {event_id}")
    try:
        recorded = msgspec.convert(event.data, ActivityEvent)
    except msgspec.ValidationError as error:
        raise CommandError(f"event {event_id} is not one of Gaitway's: {error}") from error
    if recorded.model != model.name_version:
        raise CommandError(f"event {event_id} was made by {recorded.model}, the bundle is {model.name_version}")
    recomputation = Recomputation(recorded, event.partition, round(grace_s * 1000))
    since_ms = None if hours is None else recorded.source_received_at_ms - round(hours * HOUR_MS)
    try:
        whole = await _read(kafka, [topic_prefix + name for name in TOPICS], event.partition, recomputation, since_ms)
    except KafkaError as error:
        raise CommandError(f"Kafka at {kafka}: {error!r}") from error
    return compare(event, recorded, recomputation, model, whole=whole)


async def _read(
    kafka: str, topics: Sequence[str], partition: int, recomputation: Recomputation, since_ms: int | None
) -> bool:
    """Deliver the log until now or until the window closes; True if it was read from its first record."""
    assigned = [TopicPartition(topic, partition) for topic in topics]
    tolerate_invalid_header_names()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        consumer.assign(assigned)
        begins, ends = await consumer.beginning_offsets(assigned), await consumer.end_offsets(assigned)
        if since_ms is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(assigned, max(since_ms, 0)))
            begins = {tp: found[tp].offset if found[tp] else ends[tp] for tp in assigned}
        for tp in assigned:
            consumer.seek(tp, begins[tp])
        while not recomputation.closed and any([await consumer.position(tp) < ends[tp] for tp in assigned]):
            for tp, records in (await consumer.getmany(timeout_ms=200, max_records=2_000)).items():
                recomputation.deliver(topics.index(tp.topic), records)
            ahead = {
                tp for topic, tp in enumerate(assigned) if recomputation.count_waiting(topic) > MAX_BUFFERED_RECORDS
            }
            consumer.resume(*assigned)
            consumer.pause(*ahead)
    finally:
        await consumer.stop()
    return not any(begins.values())
