"""All metrics: name, kind, unit, meaning, and the action when it changes; docs/metrics.md is made from this file.

Base units. A user or a device is never a label; known label values start at 0. Frequent callers keep the child that
``labels`` returns, because the lookup costs more than the count.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Literal, NamedTuple, TypeVar, get_args

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from shared.contracts.errors import RecordFault, UploadFault
from shared.contracts.gap import GAP_REASONS
from shared.contracts.modality import MODALITY_NAMES
from shared.contracts.window import ACCELEROMETER_STATES, HEART_RATE_STATES
from shared.runtime.buffered_metrics import BufferedCounter, BufferedHistogram
from shared.signal import plausibility

# These would be a second series per metric, and Prometheus does not use them.
disable_created_metrics()  # type: ignore[no-untyped-call]

SERVICES = ("ingest", "features", "inference")
CONSUMERS = ("features", "inference")

Collector = TypeVar("Collector", Counter, Gauge, Histogram)


class Entry(NamedTuple):
    """One metric of the catalogue. ``services``: the services that export it."""

    collector: Counter | Gauge | Histogram
    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    meaning: str
    action: str
    services: tuple[str, ...]


CATALOGUE: list[Entry] = []
_services: tuple[str, ...] = ()


def _of(*services: str) -> None:
    """Set the services of the metrics that follow."""
    global _services
    _services = services


def _counter(name: str, unit: str, meaning: str, action: str, *labels: str) -> Counter:
    return _listed(BufferedCounter(name, meaning, labels), name, "counter", unit, labels, meaning, action)


def _gauge(name: str, unit: str, meaning: str, action: str, *labels: str) -> Gauge:
    return _listed(Gauge(name, meaning, labels), name, "gauge", unit, labels, meaning, action)


def _histogram(
    name: str, unit: str, meaning: str, action: str, *labels: str, buckets: Sequence[float] | None = None
) -> Histogram:
    collector = BufferedHistogram(name, meaning, labels, buckets=buckets or LATENCY_BUCKETS_S)
    return _listed(collector, name, "histogram", unit, labels, meaning, action)


def _listed(
    collector: Collector, name: str, kind: str, unit: str, labels: tuple[str, ...], meaning: str, action: str
) -> Collector:
    CATALOGUE.append(Entry(collector, name, kind, unit, labels, meaning, action, _services))
    return collector


LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120)
LOOP_LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SKEW_BUCKETS_S = (-300, -60, -10, -1, 0, 1, 2, 5, 10, 30, 60, 300, 3_600)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
COVERAGE_BUCKETS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1)
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)

NO_MODALITY = "none"
CLOSED_BY = ("complete", "grace")
STATUSES = ("202", "400", "401", "413", "415", "422", "429", "500", "503")
HttpReason = Literal[
    "head_too_large",
    "malformed",
    "head_timeout",
    "body_timeout",
    "connections",
    "pipelined",
    "write_timeout",
    "trailers",
]
"""Reasons for the HTTP server to end a request or a connection before the application sees a whole request."""
HTTP_REASONS: tuple[HttpReason, ...] = get_args(HttpReason)
UPLOAD_FAULTS: tuple[UploadFault, ...] = get_args(UploadFault)
REFUSALS = ("unauthorised", "too_many_requests", "unavailable")
"""Reasons to refuse an upload without a known fault of its own."""
RECORD_FAULTS: tuple[RecordFault, ...] = get_args(RecordFault)
DECODE_ERRORS = ("wrong_type", "sequence", "too_large", "baseline", "final_windows", "history")
SHADOW_OUTCOMES = ("same", "different", "failed", "skipped")
BUNDLE_ROLES = ("live", "shadow")
STAGES = ("device_to_gateway", "gateway_to_window", "window_to_event", "gateway_to_event", "device_to_event")

_of("ingest")
UPLOADS = _counter(
    "gaitway_ingest_uploads_total",
    "uploads",
    "Uploads by HTTP status of the response",
    "503: /readyz names the unavailable dependency; watches send again, so nothing is lost while their buffers last. "
    "429: one user sends faster than Kafka acknowledges. Other 4xx: see the reasons in "
    "gaitway_ingest_rejected_uploads_total. 500: a bug or a refusal of Kafka (a permission, a setting), see the log.",
    "status",
)
HTTP_REFUSED = _counter(
    "gaitway_http_refused_total",
    "requests",
    "Requests and connections that the HTTP server ended before the application saw a whole request",
    "connections: raise GAITWAY_MAX_CONNECTIONS or add replicas. head_timeout, body_timeout, write_timeout: slow "
    "clients, or an attacker who holds connections open; put a proxy in front. head_too_large, malformed, trailers, "
    "pipelined: not from a watch.",
    "reason",
)
UPLOAD_SECONDS = _histogram(
    "gaitway_ingest_upload_seconds",
    "seconds",
    "Time from the request's headers to the response",
    "Most of it is Kafka's acknowledgement: check the brokers' disks and replicas, then "
    "gaitway_event_loop_lag_seconds and the CPU of ingest; add replicas of ingest when its CPU is fully used.",
)
SAMPLES_ACCEPTED = _counter(
    "gaitway_ingest_samples_total",
    "samples",
    "Samples acknowledged by the broker",
    "A fall of one modality: an app or a firmware has stopped sending it. A fall of all: the network to the gateway, "
    "compare gaitway_ingest_uploads_total.",
    "modality",
)
UPLOADS_REJECTED = _counter(
    "gaitway_ingest_rejected_uploads_total",
    "uploads",
    "Refused uploads by the faulty modality (none: not a single modality) and the reason",
    "A rise after a new version of an app: the log lines name the field. time: watches with a wrong clock. "
    "unauthorised: a key was changed on one side only.",
    "modality",
    "reason",
)
CLOCK_SKEW_SECONDS = _histogram(
    "gaitway_ingest_clock_skew_seconds",
    "seconds",
    "Gateway's receipt minus the device's sending time: clock skew of the device plus network time",
    "All watches at once: the gateway's own clock, check NTP. A tail: single watches; over 300 s ahead is refused.",
    buckets=SKEW_BUCKETS_S,
)
TICKS = _counter(
    "gaitway_ingest_ticks_total",
    "ticks",
    "Ticks written into the watch topics",
    "Without ticks, windows that wait for an idle topic do not close. No increase: no ingest reaches Kafka, see "
    "/readyz and the brokers.",
)

_of("features")
RECORDS_FOLDED = _counter(
    "gaitway_features_records_total",
    "records",
    "Records folded into windows",
    "Below the rate of ingest: the lag grows, see gaitway_consumer_lag_seconds. Zero while ingest accepts: see "
    "gaitway_partition_progress_age_seconds.",
    "modality",
)
SAMPLES_LATE = _counter(
    "gaitway_features_late_samples_total",
    "samples",
    "Samples for windows that were already final, including repeated uploads",
    "Watches send the modalities of one time minutes apart, or repeat old uploads. If they are not repeats, raise "
    "GAITWAY_GRACE_S.",
    "modality",
)
SAMPLES_REPEATED = _counter(
    "gaitway_features_duplicate_samples_total",
    "samples",
    "Samples of times that an open window already had; the first record counts",
    "Harmless: watches repeat uploads that were not answered in time. A rise together with slow uploads: see "
    "gaitway_ingest_upload_seconds; alone: an app sends overlapping times.",
    "modality",
)
SAMPLES_IMPLAUSIBLE = _counter(
    "gaitway_features_implausible_samples_total",
    "samples",
    "Samples that count as no reading, by fault: outside the range of a body or a sensor, a jump of the step count, a "
    "stuck axis",
    "A rise with a new version of an app: it sends its sensor's code for no reading (255 bpm, 65535 steps) as a value. "
    "stuck: an accelerometer's range is too small, or its driver hangs.",
    "modality",
    "fault",
)
WINDOWS_CLOSED = _counter(
    "gaitway_features_windows_total",
    "windows",
    "Published windows, by the reason of closing (complete, or grace: the grace period ended) and their modalities",
    "More by grace: uploads are lost or late, see gaitway_features_gaps_total. A modality disappears from the label: "
    "see the reasons of its gaps.",
    "closed_by",
    "modalities",
)
WINDOW_COVERAGE = _histogram(
    "gaitway_features_window_coverage_ratio",
    "ratio",
    "Share of a published window's grid that samples cover, for each announced modality",
    "Below 0.9 (accelerometer) or 0.5 (others) a modality is not used. A shift to lower buckets precedes gaps: sensors "
    "sample irregularly, or uploads are lost.",
    "modality",
    buckets=COVERAGE_BUCKETS,
)
GAPS = _counter(
    "gaitway_features_gaps_total",
    "gaps",
    "Gap records by modality and reason",
    "The reason shows the cause. not_sent, dropped_upload: the network of the uploads; sensor_silent, zero_filled, "
    "implausible, frozen, wrong_rate: the watch's app or sensor; not_worn: no fault.",
    "modality",
    "reason",
)
GAP_SECONDS = _counter(
    "gaitway_features_gap_seconds_total",
    "seconds",
    "Time of users without usable data; each second counts once, although neighbouring windows overlap",
    "Divided by the time of all windows: the share that users miss. See gaitway_features_gaps_total for the cause.",
    "modality",
    "reason",
)
OPEN_WINDOWS = _gauge(
    "gaitway_features_open_windows",
    "windows",
    "Windows that wait for data, over all partitions",
    "About three per active watch. A steady rise: log time does not advance, see gaitway_ingest_ticks_total and "
    "gaitway_features_merge_buffered_records.",
)
USERS_IN_MEMORY = _gauge(
    "gaitway_features_users",
    "users",
    "Users whose baseline is in memory",
    "docs/performance.md states the memory per user. Use more workers when memory is short.",
)
SILENT_DEVICES = _gauge(
    "gaitway_features_silent_devices",
    "devices",
    "Devices in memory whose newest sample is more than 2 min behind log time: users without data now",
    "Some devices are always off. A jump: the network to the gateway, or a release of an app.",
)
MAX_CLOCK_SKEW = _gauge(
    "gaitway_features_clock_skew_max_seconds",
    "seconds",
    "Largest clock skew of a device in memory",
    "Harmless up to 300 s; events of that device are shifted by this time. gaitway_ingest_clock_skew_seconds shows "
    "whether it is one device or many.",
)
MERGE_WAITING = _gauge(
    "gaitway_features_merge_buffered_records",
    "records",
    "Records that wait for another topic to catch up",
    "One topic lags: compare gaitway_consumer_lag_seconds of the three. If none lags, ticks are missing.",
)
UNSAVED_BASELINES = _gauge(
    "gaitway_features_unsaved_baselines",
    "updates",
    "Users whose baseline waits to be written to Redis",
    "Above 0 for longer than seconds: Redis is slow or unavailable. At GAITWAY_MAX_UNSAVED_BASELINES consuming stops.",
)
REDIS_ERRORS = _counter(
    "gaitway_features_redis_errors_total",
    "calls",
    "Failed calls to Redis",
    "Check Redis and the network to it. Windows continue; new users have state unavailable until it answers.",
)
UNREADABLE_USERS = _counter(
    "gaitway_features_unreadable_users_total",
    "users",
    "Unreadable data of users in Redis, by reason. The key is set aside and the user starts again: wrong_type (no "
    "hash), sequence (no valid seq), too_large. Only this part is lost: baseline, final_windows (of one hour), history "
    "(of one device)",
    "Another program writes to this Redis under GAITWAY_REDIS_PREFIX: its keys are kept for 7 days under "
    "PREFIXset-aside:user:. operations.md has the steps.",
    "reason",
)
BASELINES = _gauge(
    "gaitway_features_baselines",
    "users",
    "Users in memory by the state of their baseline",
    "unavailable: Redis could not be read. Many cold at once: Redis has lost its data; they are stable again after "
    "5 min of wearing.",
    "modality",
    "state",
)

_of("inference")
EVENTS = _counter(
    "gaitway_inference_events_total",
    "events",
    "Published events, by activity, modalities of the window and model",
    "Zero while gaitway_features_windows_total rises: inference does not work, see the lag of activity.windows. More "
    "unknown, or a class disappears: see the drift gauges.",
    "activity",
    "modalities",
    "model",
)
DUPLICATE_WINDOWS = _counter(
    "gaitway_inference_duplicate_windows_total",
    "windows",
    "Windows dropped because the ledger has their event",
    "Expected after a restart of features. A steady rate: features restarts repeatedly, see its log.",
)
BATCH_WINDOWS = _histogram(
    "gaitway_inference_batch_windows",
    "windows",
    "Windows per batch of the model",
    "Larger batches: a backlog is being processed, or there are more users per worker; see the lag.",
    buckets=BATCH_BUCKETS,
)
MODEL_SECONDS = _histogram(
    "gaitway_inference_model_seconds",
    "seconds",
    "Time of the model for one batch",
    "Slower with equal batches: the CPU is shared or throttled. Raise its limit, or add workers.",
)
TRANSACTION_SECONDS = _histogram(
    "gaitway_inference_transaction_seconds",
    "seconds",
    "Time from begin to commit of one transaction",
    "Check the brokers: the transaction coordinator and its replicas. At GAITWAY_TRANSACTION_TIMEOUT_MS transactions "
    "are aborted and their windows processed again.",
)
CONFIDENCE = _histogram(
    "gaitway_inference_confidence_ratio",
    "ratio",
    "Probability of the most probable class of each event",
    "See gaitway_inference_confidence_drift_psi.",
    buckets=CONFIDENCE_BUCKETS,
)
CLASS_DRIFT = _gauge(
    "gaitway_inference_class_drift_psi",
    "PSI",
    "Population stability index of the activities of the worker's last 5,000 events against the bundle's reference of "
    "people outside its training data; NaN below 100 events or without such a reference",
    "Users sit more than the people of a study, so only a change of 0.25 or more from week to week matters. Check "
    "which class has changed, whether a modality is missing, and the share of new watches.",
)
CONFIDENCE_DRIFT = _gauge(
    "gaitway_inference_confidence_drift_psi",
    "PSI",
    "Population stability index of the confidence, over the deciles of the reference",
    "Above 0.25 the data differ from the training data: a new device or another way of wearing it. Collect labelled "
    "recordings of it and train again.",
)
MODEL_INFO = _gauge(
    "gaitway_inference_model_info",
    "1",
    "Always 1; the labels are the role of a bundle in this worker (live or shadow) and its name and version",
    "Two live models for longer than seconds: a worker has refused the promoted one, see "
    "gaitway_inference_rollout_applied.",
    "role",
    "model",
)
ROLLOUT_APPLIED = _gauge(
    "gaitway_inference_rollout_applied",
    "1 or 0",
    "Whether the worker runs the bundles that the roll-out file names; 1 without such a file",
    "0: the worker has refused a bundle or the file, and its log says why. Events go on with the bundle that it has; "
    "check the new one with gaitway bundle verify.",
)
REFUSED_BUNDLES = _counter(
    "gaitway_inference_refused_bundles_total",
    "bundles",
    "Bundles of the roll-out file that did not load or fit, by role; an unreadable file counts as live",
    "See gaitway_inference_rollout_applied.",
    "role",
)
SHADOW_WINDOWS = _counter(
    "gaitway_inference_shadow_windows_total",
    "windows",
    "Windows for the shadow by outcome: same or different (its activity and the live event's), failed (the model, or "
    "Kafka did not take its event), skipped (it was too slow, or was replaced)",
    "different: compare the two topics offline before a promotion. failed: see the log. skipped: the worker has too "
    "little CPU for two models; the rest is still a fair sample.",
    "outcome",
)
SHADOW_EVENTS = _counter(
    "gaitway_inference_shadow_events_total",
    "events",
    "Events on activity.events.shadow, by activity and model",
    "A class that only one of the two models sees: compare with gaitway_inference_events_total.",
    "activity",
    "model",
)
SHADOW_CLASS_DRIFT = _gauge(
    "gaitway_inference_shadow_class_drift_psi",
    "PSI",
    "Population stability index of the shadow's activities, as gaitway_inference_class_drift_psi; NaN without a shadow",
    "Much above the live model's: the new model sees other activities in the same people. Do not promote it unread.",
)
SHADOW_CONFIDENCE_DRIFT = _gauge(
    "gaitway_inference_shadow_confidence_drift_psi",
    "PSI",
    "Population stability index of the shadow's confidence, as gaitway_inference_confidence_drift_psi",
    "Above 0.25 and above the live model's: its training data fit these users less than the live model's.",
)
for _drift in (CLASS_DRIFT, CONFIDENCE_DRIFT, SHADOW_CLASS_DRIFT, SHADOW_CONFIDENCE_DRIFT):
    _drift.set(math.nan)
ROLLOUT_APPLIED.set(1)

_of(*SERVICES)
EVENT_LATENCY_SECONDS = _histogram(
    "gaitway_event_latency_seconds",
    "seconds",
    "Latency by stage. device_to_gateway: sending to receipt, by the two clocks; gateway_to_window: receipt of the "
    "window's last sample to its publication; window_to_event: window's to event's publication; gateway_to_event: both "
    "together, the objective (p99 at most 1 s); device_to_event: the window's end to the event",
    "Find the slower stage. device_to_gateway: networks and clocks of watches. gateway_to_window: lag or CPU of "
    "features. window_to_event: lag or CPU of inference, gaitway_inference_transaction_seconds.",
    "stage",
)

_of(*CONSUMERS)
REJECTED = _counter(
    "gaitway_rejected_records_total",
    "records",
    "Records written to watch.rejected, by the rejecting service and the reason",
    "version or feature_version after an upgrade: a writer is newer than its reader, finish the roll-out. Otherwise "
    "read watch.rejected: headers state reason and origin. Above GAITWAY_DLQ_MAX_RATIO the service stops.",
    "service",
    "reason",
)
LAG_RECORDS = _gauge(
    "gaitway_consumer_lag_records",
    "records",
    "Records of a partition that its consumer has not fetched yet",
    "A rise in all partitions: too few workers or too little CPU. In one: one worker, or one user with much data.",
    "topic",
    "partition",
)
LAG_SECONDS = _gauge(
    "gaitway_consumer_lag_seconds",
    "seconds",
    "Age of the newest processed record of a partition, 0 when nothing is left to fetch; before its first record a "
    "worker counts from its assignment",
    "As gaitway_consumer_lag_records; it is about the delay of the events.",
    "topic",
    "partition",
)
PARTITION_PROGRESS_AGE_SECONDS = _gauge(
    "gaitway_partition_progress_age_seconds",
    "seconds",
    "Time since the partition's position last advanced, nothing was left to read, or it was paused on purpose",
    "At GAITWAY_STALLED_AFTER_S /healthz fails and the worker is restarted. If it stalls again: check that partition's "
    "brokers, then the record at its committed offset.",
    "topic",
    "partition",
)

_of(*SERVICES)
PROGRESS_SECONDS = _gauge(
    "gaitway_progress_timestamp_seconds",
    "Unix seconds",
    "Time of the service's last completed loop",
    "No change: the process hangs, /healthz fails after a minute. See gaitway_event_loop_lag_seconds and the log.",
)
LOOP_LAG_SECONDS = _histogram(
    "gaitway_event_loop_lag_seconds",
    "seconds",
    "Delay of a timer of the event loop, measured twice a second",
    "Above 0.25 s heartbeats and responses are late: the CPU limit is reached (throttling), or a batch is too large.",
    buckets=LOOP_LAG_BUCKETS_S,
)
DEPENDENCY_UP = _gauge(
    "gaitway_dependency_up",
    "1 or 0",
    "Whether a dependency (kafka, redis; topics, commits and transactions of kafka) works, as on /readyz",
    "0: check that dependency and the network to it; /readyz and the log show its error.",
    "dependency",
)
BUILD_INFO = _gauge(
    "gaitway_build_info",
    "1",
    "Always 1; the labels are the service and its version",
    "Two versions for longer than a roll-out takes: the roll-out is stuck.",
    "service",
    "version",
)

_of("canary")
CANARY_UPLOADS = _counter(
    "gaitway_canary_uploads_total",
    "uploads",
    "Uploads of the canary watch, accepted or refused",
    "refused: other watches see the same; start at gaitway_ingest_uploads_total.",
    "outcome",
)
CANARY_WINDOWS = _counter(
    "gaitway_canary_windows_total",
    "windows",
    "Windows that the canary expects, by outcome: right, wrong, late, missing",
    "missing or late: see the stages of gaitway_event_latency_seconds. wrong: another model, or the features have "
    "changed: compare gaitway_build_info and the events' model.",
    "outcome",
)
CANARY_LATENCY_SECONDS = _histogram(
    "gaitway_canary_latency_seconds",
    "seconds",
    "Time from the upload that completes a window to the arrival of its event at the canary",
    "The total latency for a consumer; see gaitway_event_latency_seconds for the stages.",
)
CANARY_LAST_SUCCESS = _gauge(
    "gaitway_canary_last_success_timestamp_seconds",
    "Unix seconds",
    "Time at which the canary last got a right event in time",
    "No change: the pipeline is broken, even if other metrics look normal. Start at /readyz of all three services.",
)


def masks() -> list[dict[str, bool]]:
    """Return all masks of published windows; they always have the accelerometer."""
    others = itertools.product((True, False), repeat=len(MODALITY_NAMES) - 1)
    return [dict(zip(MODALITY_NAMES, (True, *rest), strict=True)) for rest in others]


def modalities_label(mask: Mapping[str, bool]) -> str:
    """Format a window's modalities as a label, such as ``accelerometer+steps``."""
    return "+".join([name for name in MODALITY_NAMES if mask[name]]) or NO_MODALITY


def rejected_by(service: str) -> dict[RecordFault, Counter]:
    """Create the counters of a service's rejected records by fault, at 0, and return them."""
    return {fault: REJECTED.labels(service, fault) for fault in RECORD_FAULTS}


def registry_of(service: str) -> CollectorRegistry:
    """Return the registry of a service's /metrics: its part of the catalogue and the process metrics.

    Without a name, it has the whole catalogue. Metrics of other services would stay at 0 and distort every average.
    """
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    for entry in CATALOGUE:
        if not service or service in entry.services:
            registry.register(entry.collector)
    if service:
        BUILD_INFO.labels(service, version("gaitway")).set(1)
    return registry


for _modality in MODALITY_NAMES:
    SAMPLES_ACCEPTED.labels(_modality)
    RECORDS_FOLDED.labels(_modality)
    SAMPLES_LATE.labels(_modality)
    SAMPLES_REPEATED.labels(_modality)
    for _implausible in plausibility.FAULTS[_modality]:
        SAMPLES_IMPLAUSIBLE.labels(_modality, _implausible)
    WINDOW_COVERAGE.labels(_modality)
    for _reason in GAP_REASONS:
        GAPS.labels(_modality, _reason)
        GAP_SECONDS.labels(_modality, _reason)
    for _fault in ("missing", "unknown_field", "value", "rate", "span", "time"):
        UPLOADS_REJECTED.labels(_modality, _fault)
for _why in (*UPLOAD_FAULTS, *REFUSALS):
    UPLOADS_REJECTED.labels(NO_MODALITY, _why)
for _closed_by, _mask in itertools.product(CLOSED_BY, masks()):
    WINDOWS_CLOSED.labels(_closed_by, modalities_label(_mask))
for _state in ACCELEROMETER_STATES:
    BASELINES.labels("accelerometer", _state)
for _state in HEART_RATE_STATES:
    BASELINES.labels("heart_rate", _state)
for _http_reason in HTTP_REASONS:
    HTTP_REFUSED.labels(_http_reason)
for _what in DECODE_ERRORS:
    UNREADABLE_USERS.labels(_what)
for _status in STATUSES:
    UPLOADS.labels(_status)
for _outcome in ("accepted", "refused"):
    CANARY_UPLOADS.labels(_outcome)
for _outcome in ("right", "wrong", "late", "missing"):
    CANARY_WINDOWS.labels(_outcome)
for _outcome in SHADOW_OUTCOMES:
    SHADOW_WINDOWS.labels(_outcome)
for _role in BUNDLE_ROLES:
    REFUSED_BUNDLES.labels(_role)
