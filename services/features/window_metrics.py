"""Metrics of features: counters of records and windows, and gauges (docs/metrics.md)."""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import cache

import prometheus_client

from services.features.partition_task import PartitionTask, WindowToPublish
from shared.contracts.gap import Gap
from shared.contracts.modality import MODALITIES, MODALITY_NAMES
from shared.contracts.window import ACCELEROMETER_STATES, HEART_RATE_STATES
from shared.runtime import metrics
from shared.runtime.logging import trace_extra
from shared.windows.assembler import AssemblyResult
from shared.windows.merge import LogRecord

log = logging.getLogger("gaitway.features")

# Kept, because the lookup by labels costs more than the count.
_RECORDS = [metrics.RECORDS_FOLDED.labels(name) for name in MODALITY_NAMES]
_COVERAGE = {name: metrics.WINDOW_COVERAGE.labels(name) for name in MODALITY_NAMES}
_GATEWAY_TO_WINDOW = metrics.EVENT_LATENCY_SECONDS.labels("gateway_to_window")
_BASELINE_STATES = (("accelerometer", ACCELEROMETER_STATES), ("heart_rate", HEART_RATE_STATES))


@cache
def _closed(closed_by: str, modalities: str) -> prometheus_client.Counter:
    return metrics.WINDOWS_CLOSED.labels(closed_by, modalities)


def count_records(records: Iterable[LogRecord]) -> None:
    """Count processed records; ticks do not count."""
    for topic, n in Counter([record.topic for record in records if record.samples is not None]).items():
        _RECORDS[topic].inc(n)


def count_late(samples: Mapping[str, int]) -> None:
    """Count samples that came after their windows, by modality."""
    for name, n in samples.items():
        metrics.SAMPLES_LATE.labels(name).inc(n)


def count_unused(closed: AssemblyResult) -> None:
    """Count samples that their windows have not used."""
    for name, n in closed.repeated_samples.items():
        metrics.SAMPLES_REPEATED.labels(name).inc(n)
    for (name, fault), n in closed.implausible_samples.items():
        metrics.SAMPLES_IMPLAUSIBLE.labels(name, fault).inc(n)


def count_published(
    windows: Iterable[WindowToPublish],
    gaps: Iterable[tuple[int, Gap]],
    gap_ms: Mapping[tuple[str, str], int],
    now_ms: int,
) -> None:
    """Count published windows and gaps."""
    is_logged = log.isEnabledFor(logging.DEBUG)
    for ready in windows:
        raw, record = ready.raw, ready.record
        _closed(raw.closed_by, metrics.modalities_label(record.mask)).inc()
        for name in raw.announced:
            _COVERAGE[name].observe(record.coverage[name])
        _GATEWAY_TO_WINDOW.observe(max(0, now_ms - record.source_received_at_ms) / 1000)
        if is_logged:
            log.debug("window of %d, %s", raw.window_start_ms, raw.closed_by, extra=trace_extra(raw.traceparent))
    for _, gap in gaps:
        metrics.GAPS.labels(gap.modality, gap.reason).inc()
    for labels, ms in gap_ms.items():
        metrics.GAP_SECONDS.labels(*labels).inc(ms / 1000)


def report(partitions: Collection[PartitionTask]) -> None:
    """Set the gauges."""
    metrics.OPEN_WINDOWS.set(sum(p.assembler.open_windows for p in partitions))
    metrics.USERS_IN_MEMORY.set(sum(len(p.users) for p in partitions))
    metrics.UNSAVED_BASELINES.set(sum(p.users.waiting for p in partitions))
    watches = [watch for p in partitions for watch in p.assembler.watches(p.log_ms)]
    metrics.SILENT_DEVICES.set(sum(not watch.connected for watch in watches))
    metrics.MAX_CLOCK_SKEW.set(max((abs(watch.skew_ms) for watch in watches), default=0) / 1000)
    metrics.MERGE_WAITING.set(sum(p.waiting(topic) for p in partitions for topic in range(len(MODALITIES))))
    states: Counter[tuple[str, str]] = Counter()
    for partition in partitions:
        states += partition.users.states()
    for index, (name, known) in enumerate(_BASELINE_STATES):
        for state in known:
            users = sum(count for pair, count in states.items() if pair[index] == state)
            metrics.BASELINES.labels(name, state).set(users)
