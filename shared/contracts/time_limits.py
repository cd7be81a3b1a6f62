"""How old, and how far ahead, data may be at each stage, and for how long it is remembered that it was seen.

The limits follow from the first one. What a stage accepts must still be known to the stage that would otherwise take it
for new, so each stage keeps a day more than the one before it accepts.
"""

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

UPLOAD_PAST_MS = 7 * DAY_MS
"""ingest refuses samples that are older by the gateway's clock."""
UPLOAD_FUTURE_MS = 5 * 60_000
"""ingest refuses samples and uploads that are further ahead of the gateway's clock: watches' clocks run that wrong."""

FINAL_KEPT_MS = 8 * DAY_MS
"""Which windows are final, and which have an event, is forgotten this long before a device's, or a partition's, newest
one: ingest refuses samples older than 7 days, so a window older than 8 cannot come again."""

SAMPLES_PAST_MS, SAMPLES_FUTURE_MS = FINAL_KEPT_MS, HOUR_MS
"""features rejects samples further from log time. Ingest lets less through; whoever else writes there could otherwise
make a gap of years, slot by slot, or make final windows of the present old, and so forgotten."""

WINDOW_FUTURE_MS = DAY_MS
"""inference rejects windows, and ledger entries, this much later than their record: such a one would be the newest, and
all that is 8 days older forgotten. A day is what 8 days leave beside the 7 that ingest accepts."""
