"""Processing of one poll: drop repeats, classify all partitions as one batch, write one transaction per partition."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.inference.classifier import Classifier
from services.inference.cloud_events import activity_event, to_message
from services.inference.drift import Drift
from services.inference.producer import TransactionalProducer, TransactionBatch
from services.inference.shadow import PublishedWindow, Shadow
from shared.contracts import topics
from shared.contracts.dead_letter import rejection_headers
from shared.contracts.decoding import traceparent_of, user_of
from shared.contracts.errors import InvalidRecord
from shared.contracts.event import ActivityEvent
from shared.contracts.labels import answers_of
from shared.contracts.time_limits import WINDOW_FUTURE_MS
from shared.contracts.window import WindowRecord, decode_window
from shared.kafka.aiokafka_patches import record_bytes
from shared.kafka.dead_letters import DeadLetterLimit
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logging import trace_extra

log = logging.getLogger("gaitway.inference")

# Kept, because the lookup by labels costs more than the count.
_REJECTED = metrics.rejected_by("inference")
_WINDOW_TO_EVENT, _GATEWAY_TO_EVENT, _DEVICE_TO_EVENT = (
    metrics.EVENT_LATENCY_SECONDS.labels(stage) for stage in ("window_to_event", "gateway_to_event", "device_to_event")
)


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One window that needs its event."""

    record: Any
    user: str
    window: WindowRecord


class Processor:
    """Classifier and publisher of windows; ``producers`` are those of the current assignment."""

    def __init__(
        self,
        classifier: Classifier,
        clock: Clock,
        dead_letter_limit: DeadLetterLimit,
        shadow: Shadow | None = None,
    ) -> None:
        self.producers: dict[int, TransactionalProducer] = {}
        self.limits: dict[str, int] = {}
        """Largest record in bytes by topic without prefix; a topic that is not listed has no limit."""
        self._clock = clock
        self._dead_letter_limit = dead_letter_limit
        self._shadow = shadow
        self._use(classifier)

    def switch_to(self, classifier: Classifier) -> None:
        """Classify with another bundle from now on; the caller is between two calls of ``process``."""
        if classifier is self._classifier:
            return
        metrics.MODEL_INFO.remove("live", self.model)
        self._use(classifier)
        for producer in self.producers.values():
            producer.ledger.switch_to(self.model)

    @property
    def model(self) -> str:
        """The name and version that events carry."""
        return self._classifier.name.name_version

    def _use(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._drift = Drift(classifier.reference)
        metrics.MODEL_INFO.labels("live", self.model).set(1)
        metrics.CLASS_DRIFT.set_function(self._drift.class_psi)
        metrics.CONFIDENCE_DRIFT.set_function(self._drift.confidence_psi)
        self._events = {
            (activity, modalities): metrics.EVENTS.labels(activity, modalities, classifier.name.name_version)
            for activity in answers_of(classifier.classes)
            for modalities in map(metrics.modalities_label, metrics.masks())
        }

    async def process(self, batch: Mapping[int, Sequence[Any]]) -> None:
        """Publish the events of one poll's records, by partition.

        Raises:
            LostOwnership: a partition's transaction failed.
            Stop: too much is rejected. The transactions with the dead letters and their offsets have committed.
        """
        tasks: dict[int, list[_Task]] = {}
        outgoing: dict[int, TransactionBatch] = {}
        for partition, records in batch.items():
            out = outgoing[partition] = TransactionBatch(next_offset=records[-1].offset + 1)
            tasks[partition] = [task for record in records if (task := self._accept(partition, record, out))]
        windows = [task.window for partition_tasks in tasks.values() for task in partition_tasks]
        probabilities = iter(await self._classifier.classify(windows)) if windows else iter(())
        events: dict[int, list[tuple[_Task, ActivityEvent]]] = {}
        for partition, partition_tasks in tasks.items():
            events[partition] = []
            for task in partition_tasks:
                event = self._classify_result(partition, task, next(probabilities), outgoing[partition])
                if event is not None:
                    events[partition].append((task, event))
        # All writes end before a failure is raised: reopening a partition must not meet a running transaction.
        writes = [self.producers[partition].write(out) for partition, out in outgoing.items()]
        outcomes = dict(zip(outgoing, await asyncio.gather(*writes, return_exceptions=True), strict=True))
        committed = {partition: events[partition] for partition, outcome in outcomes.items() if outcome is None}
        if self._shadow is not None:
            self._shadow.add([_published(p, *pair) for p, pairs in committed.items() for pair in pairs])
        for outcome in outcomes.values():
            if isinstance(outcome, BaseException):
                raise outcome
        published = [event for pairs in committed.values() for _, event in pairs]
        self._drift.add([event.activity for event in published], [event.confidence for event in published])
        rejected = sum(len(out.rejected) for out in outgoing.values())
        self._dead_letter_limit.count(sum(map(len, batch.values())), rejected)

    def _accept(self, partition: int, record: Any, out: TransactionBatch) -> _Task | None:
        """Make the task of a record; None if it is a repeat or unreadable."""
        try:
            user = user_of(record.key)
            window = decode_window(record.value or b"", user)
            if window.window_start_ms > record.timestamp + WINDOW_FUTURE_MS:
                detail = f"window start {window.window_start_ms} is too far ahead of record time {record.timestamp}"
                raise InvalidRecord(detail, fault="time")
            if window.feature_version != self._classifier.feature_version:
                raise InvalidRecord(
                    f"feature version {window.feature_version}, the model needs {self._classifier.feature_version}",
                    fault="feature_version",
                )
        except InvalidRecord as error:
            self._reject(record, error, out)
            return None
        if not self.producers[partition].ledger.stage(user, window):
            metrics.DUPLICATE_WINDOWS.inc()
            return None
        return _Task(record, user, window)

    def _classify_result(
        self, partition: int, task: _Task, probabilities: np.ndarray[Any, Any] | InvalidRecord, out: TransactionBatch
    ) -> ActivityEvent | None:
        """Add the event to ``out`` and return it; None if the window or its event is rejected."""
        if not isinstance(probabilities, InvalidRecord) and not np.isfinite(probabilities).all():
            probabilities = InvalidRecord("the model gives no finite probability for this window", fault="not_finite")
        if isinstance(probabilities, InvalidRecord):
            self.producers[partition].ledger.unstage(task.user, task.window)
            self._reject(task.record, probabilities, out)
            return None
        now_ms = self._clock()
        by_class = dict(zip(self._classifier.classes, probabilities.tolist(), strict=True))
        event = activity_event(task.user, task.window, by_class, self._classifier.name, now_ms)
        trace = traceparent_of(task.record.headers)
        headers, value = to_message(event, trace)
        size, limit = record_bytes(task.user.encode(), value, headers), self.limits.get(topics.EVENTS.name)
        if limit is not None and size > limit:
            self.producers[partition].ledger.unstage(task.user, task.window)
            detail = f"its event has {size} bytes, {topics.EVENTS.name} allows {limit}"
            self._reject(task.record, InvalidRecord(detail, fault="too_large"), out)
            return None
        out.events.append((task.user.encode(), headers, value))
        self._count(event, task)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("event of %d: %s", event.window_start_ms, event.activity, extra=trace_extra(trace))
        return event

    def _count(self, event: ActivityEvent, task: _Task) -> None:
        labels = (event.activity, metrics.modalities_label(task.window.mask))
        (self._events.get(labels) or metrics.EVENTS.labels(*labels, event.model)).inc()
        metrics.CONFIDENCE.observe(event.confidence)
        now_ms = event.published_at_ms
        _WINDOW_TO_EVENT.observe(max(0, now_ms - task.record.timestamp) / 1000)
        _GATEWAY_TO_EVENT.observe(max(0, now_ms - event.source_received_at_ms) / 1000)
        # By the watch's clock; the latency of one that is ahead is unknown.
        if now_ms >= event.window_end_ms:
            _DEVICE_TO_EVENT.observe((now_ms - event.window_end_ms) / 1000)

    def _reject(self, record: Any, error: InvalidRecord, out: TransactionBatch) -> None:
        trace = trace_extra(traceparent_of(record.headers))
        log.warning("rejected %s %d@%d: %s", record.topic, record.partition, record.offset, error, extra=trace)
        _REJECTED[error.fault].inc()
        headers = rejection_headers("inference", str(error), record.topic, record.partition, record.offset)
        # aiokafka cannot send a record without key and value.
        value = b"" if record.key is None and record.value is None else record.value
        limit = self.limits.get(topics.REJECTED.name)
        if limit is not None and record_bytes(record.key, value, headers) > limit:
            log.error("%s gets only the key and the headers of this record, which is too large", topics.REJECTED.name)
            value = b""
        out.rejected.append((record.key, headers, value))


def _published(partition: int, task: _Task, event: ActivityEvent) -> PublishedWindow:
    return PublishedWindow(partition, task.user, task.window, event.activity, traceparent_of(task.record.headers))
