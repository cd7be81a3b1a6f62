"""The overview dashboard: health, latency, gaps, cost."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import SERVICES, Limits, Query, board, lines, number, quantile, rate, share

OBJECTIVE_S = 1.0
UPLOADS = "gaitway_ingest_uploads_total"
REJECTED = "gaitway_rejected_records_total"
GAPS = 'gaitway_features_gaps_total{modality="accelerometer",reason!="not_worn"}'


def overview() -> Dashboard:
    """The dashboard to start with."""
    return board(
        "gaitway-overview",
        "Is it healthy, how late are events, how many gaps are there. Start here; the other dashboards show the "
        "causes.",
        [
            number(
                "When did the canary last succeed?",
                "time() - max(gaitway_canary_last_success_timestamp_seconds)",
                "s",
                "Time since a known recording, uploaded all day like a watch's, last came back as the right event in "
                "time. It reveals a fault in any part. Red: runbook GaitwayCanarySilent.",
                Limits(30, 120),
            ),
            number(
                "How many of the four are up?",
                'count(max by (job) (up{job=~"ingest|features|inference|canary"}) == 1) or vector(0)',
                "none",
                "ingest, features, inference and canary, by at least one worker that Prometheus reaches. "
                "Below 4: runbook GaitwayServiceDown.",
                Limits(4, 3.5),
            ),
            number(
                "Do Kafka and Redis answer?",
                Query("min by (dependency) (gaitway_dependency_up)", "{{dependency}}"),
                "none",
                "The worst state of any worker. away: runbooks GaitwayBrokerAway, GaitwayRedisAway.",
                Limits(1, 0.5),
                words="away/there",
            ),
            number(
                "How many alerts fire?",
                'count(ALERTS{alertstate="firing",alertname=~"Gaitway.*"}) or vector(0)',
                "none",
                "Prometheus' page /alerts names them; each has a runbook in docs/operations.md.",
                Limits(1, 3),
            ),
            number(
                "How many events come later than 1 s?",
                "gaitway:events_slow:ratio_rate5m",
                "percentunit",
                "Share of the last 5 min's events that took longer from the gateway's receipt of the window's last "
                "sample; 1 % may. Windows that waited for lost data are not counted. Red: Pipeline has the latency of "
                "each stage.",
                Limits(0.005, 0.01),
            ),
            number(
                "How fast does the error budget burn?",
                "gaitway:events_slow:ratio_rate1h / 0.01",
                "none",
                "Share of the last hour's events slower than 1 s, in multiples of the 1 % that may be. Above 1 the "
                "month ends over budget; at 14.4 the budget is gone in two days, and somebody is paged.",
                Limits(1, 14.4),
            ),
            number(
                "How many windows are gaps?",
                f"{rate(GAPS)} / ({rate(GAPS)} + {rate('gaitway_features_windows_total')})",
                "percentunit",
                "Windows without a usable accelerometer, which give no event; watches that are not worn left out. "
                "Red: the Data quality dashboard says why.",
                Limits(0.1, 0.2),
            ),
            number(
                "What do 1,000 users cost?",
                f"1000 * sum(rate(process_cpu_seconds_total{{{SERVICES}}}[$__rate_interval])) "
                "/ sum(gaitway_features_users)",
                "none",
                "CPU cores of the three services per 1,000 users in memory, without Kafka and Redis. "
                "Compare with docs/performance.md; a rise without a release means a faulty worker.",
                Limits(0.5, 1),
            ),
            lines(
                "How late are events?",
                [
                    Query(quantile(q, "gaitway_event_latency_seconds", 'stage="gateway_to_event"'), name)
                    for q, name in ((0.5, "median"), (0.9, "90 %"), (0.99, "99 %"))
                ],
                "s",
                "From the gateway's receipt of a window's last sample to its event. An incomplete window waits "
                "for late data, a minute or more, which the 99 % shows first. Continue with the latency by "
                "stage on Pipeline.",
                Limits(0.8, OBJECTIVE_S),
            ),
            lines(
                "Does as much come out as goes in?",
                [
                    Query(rate('gaitway_ingest_uploads_total{status="202"}'), "uploads accepted"),
                    Query(rate("gaitway_features_windows_total"), "windows"),
                    Query(rate("gaitway_inference_events_total"), "events"),
                ],
                "cps",
                "The lines of windows and events must coincide: one event per window. Uploads without windows: look at "
                "gaps and lag. Windows without events: runbook GaitwayModelSilent.",
            ),
            lines(
                "How far behind is each topic read?",
                [Query("max by (topic) (gaitway_consumer_lag_seconds)", "{{topic}}")],
                "s",
                "Age of what is being processed, worst partition. Rising: runbook GaitwayLagGrowing.",
                Limits(5, 30),
            ),
            lines(
                "Does every partition move on?",
                [Query("max by (topic) (gaitway_partition_progress_age_seconds)", "{{topic}}")],
                "s",
                "Longest time in which a partition with unread records has made no progress. At 60 s the "
                "worker is restarted. Runbook GaitwayPartitionStuck.",
                Limits(30, 60),
            ),
            lines(
                "What is missing, and why?",
                [Query(rate("gaitway_features_gap_seconds_total", "reason"), "{{reason}}")],
                "none",
                "Seconds without usable data per second, over all users and modalities: 3 is one user without "
                "anything. Data quality has it by modality.",
                stacked=True,
            ),
            lines(
                "What is turned away?",
                [
                    Query(share('gaitway_ingest_uploads_total{status=~"4.."}', UPLOADS), "uploads, 4xx"),
                    Query(share('gaitway_ingest_uploads_total{status=~"5.."}', UPLOADS), "uploads, 5xx"),
                    Query(
                        f"{rate(REJECTED)} / ({rate('gaitway_features_records_total')} + {rate(REJECTED)})",
                        "records",
                    ),
                ],
                "percentunit",
                "Shares. 5xx: runbook GaitwayGateway5xx; 4xx: GaitwayUploadsRejected; records: GaitwayRecordsRejected.",
                Limits(0.01, 0.05),
            ),
            lines(
                "How much CPU does each service take?",
                [Query(rate('process_cpu_seconds_total{job=~"ingest|features|inference|canary"}', "job"), "{{job}}")],
                "none",
                "Cores. A service at its limit is throttled: latency and event-loop lag grow; add workers.",
            ),
            lines(
                "How much memory does each service take?",
                [
                    Query(
                        'sum by (job) (process_resident_memory_bytes{job=~"ingest|features|inference|canary"})',
                        "{{job}}",
                    )
                ],
                "bytes",
                "Resident. features grows with its users (7 KB each), ingest only while Kafka is slow; steady growth "
                "is a leak: note the version and restart the worker.",
            ),
        ],
    )
