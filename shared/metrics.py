"""Every metric: name, kind, unit, meaning. Never a user or a device as a label; known label values start at 0."""

from prometheus_client import Counter, Gauge, Histogram

from shared.modality import NAMES
from shared.records.gap import GAP_REASONS

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120)

# ingest
UPLOADS = Counter("gaitway_ingest_uploads_total", "Uploads by HTTP status of the answer", ["status"])
UPLOAD_SECONDS = Histogram(
    "gaitway_ingest_upload_seconds", "From the request's headers to the answer, in s", buckets=LATENCY_BUCKETS_S
)
SAMPLES_ACCEPTED = Counter("gaitway_ingest_samples_total", "Samples acknowledged by the broker", ["modality"])
CLOCK_SKEW_SECONDS = Histogram(
    "gaitway_ingest_clock_skew_seconds",
    "Gateway's receipt minus the device's time of sending, in s: its clock's skew and the upload's way",
    buckets=(-300, -60, -10, -1, 0, 1, 2, 5, 10, 30, 60, 300, 3_600),
)
TICKS = Counter("gaitway_ingest_ticks_total", "Ticks written into the watch topics")

# features
RECORDS_FOLDED = Counter("gaitway_features_records_total", "Records folded into windows", ["modality"])
SAMPLES_LATE = Counter("gaitway_features_late_samples_total", "Samples for windows that were final", ["modality"])
WINDOWS_CLOSED = Counter("gaitway_features_windows_total", "Windows published, by what closed them", ["closed_by"])
GAPS = Counter("gaitway_features_gaps_total", "Gap records by modality and reason", ["modality", "reason"])
OPEN_WINDOWS = Gauge("gaitway_features_open_windows", "Windows that wait for data, over all partitions")
USERS_IN_MEMORY = Gauge("gaitway_features_users", "Users whose baseline is in memory")
SILENT_DEVICES = Gauge("gaitway_features_silent_devices", "Devices in memory whose newest sample is over 2 min old")
MAX_CLOCK_SKEW = Gauge("gaitway_features_clock_skew_max_seconds", "Largest clock skew of a device in memory, in s")
MERGE_WAITING = Gauge("gaitway_features_merge_waiting_records", "Records that wait for another topic to catch up")
FOLDS_WAITING = Gauge("gaitway_features_folds_waiting", "Users whose baseline waits to be written to Redis")
REDIS_ERRORS = Counter("gaitway_features_redis_errors_total", "Calls to Redis that failed")

# inference
EVENTS = Counter("gaitway_inference_events_total", "Events published, by activity", ["activity"])
REPEATS_DROPPED = Counter("gaitway_inference_repeats_total", "Windows dropped since the ledger holds their event")
BATCH_WINDOWS = Histogram(
    "gaitway_inference_batch_windows", "Windows per forward pass", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)
MODEL_SECONDS = Histogram(
    "gaitway_inference_model_seconds", "Time of one forward pass, in s", buckets=LATENCY_BUCKETS_S
)
TRANSACTION_SECONDS = Histogram(
    "gaitway_inference_transaction_seconds", "Begin to commit of one transaction, in s", buckets=LATENCY_BUCKETS_S
)
EVENT_LATENCY_SECONDS = Histogram(
    "gaitway_event_latency_seconds",
    "Gateway's receipt of a window's last sample to the event's publication, in s",
    buckets=LATENCY_BUCKETS_S,
)

# features and inference
REJECTED = Counter("gaitway_rejected_records_total", "Records written to watch.rejected", ["service"])
PARTITION_PROGRESS_AGE_SECONDS = Gauge(
    "gaitway_partition_progress_age_seconds",
    "Time since the partition that stands still for longest has advanced or had nothing to read, in s",
)
PROGRESS_SECONDS = Gauge("gaitway_progress_timestamp_seconds", "Unix time of the service's last completed loop")

for _modality in NAMES:
    SAMPLES_ACCEPTED.labels(_modality)
    RECORDS_FOLDED.labels(_modality)
    SAMPLES_LATE.labels(_modality)
    for _reason in GAP_REASONS:
        GAPS.labels(_modality, _reason)
for _closed_by in ("complete", "linger"):
    WINDOWS_CLOSED.labels(_closed_by)
for _status in ("202", "400", "401", "413", "415", "422", "503"):
    UPLOADS.labels(_status)
for _service in ("features", "inference"):
    REJECTED.labels(_service)
