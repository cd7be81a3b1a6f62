"""Limits of each stage: how old and how far ahead data may be, and how long a stage remembers it.

The limits follow from the first one. A stage must remember all data that the stage before still accepts, or it would
treat repeats as new. Each stage therefore remembers one day more.
"""

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

UPLOAD_PAST_MS = 7 * DAY_MS
"""ingest refuses samples that are older than this by the gateway's clock."""
UPLOAD_FUTURE_MS = 5 * 60_000
"""ingest refuses samples and uploads further ahead of the gateway's clock; the clocks of watches deviate this much."""

FINAL_KEPT_MS = 8 * DAY_MS
"""Final windows are forgotten when they are this much older than the device's newest one, and ledger entries when they
are this much older than the partition's: ingest refuses samples older than 7 days, so no repeat is older than 8."""

SAMPLES_PAST_MS, SAMPLES_FUTURE_MS = FINAL_KEPT_MS, HOUR_MS
"""features rejects samples further from log time. Ingest accepts less, but another writer to these topics could cause a
gap of years, slot by slot, or make features forget the final windows of the present."""

WINDOW_FUTURE_MS = DAY_MS
"""inference rejects windows and ledger entries this much later than their record: as the newest, one would make it
forget everything 8 days older. One day is the difference between these 8 days and the 7 that ingest accepts."""
