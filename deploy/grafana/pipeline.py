"""The dashboard of features and inference: latency by stage, lag, windows, progress of each partition, Redis."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Limits, Query, bars, board, lines, quantile, quantiles, rate

LATENCY_S = "gaitway_event_latency_seconds"


def pipeline() -> Dashboard:
    """features and inference."""
    return board(
        "gaitway-pipeline",
        "features and inference: latency by stage, lag, windows, each partition's progress, Redis.",
        [
            lines(
                "Which stage makes events late? (99 %)",
                [Query(quantile(0.99, LATENCY_S, by="stage"), "{{stage}}")],
                "s",
                "gateway_to_event is the objective. Its parts are gateway_to_window (features) and window_to_event "
                "(inference). device_to_gateway and device_to_event include the watch's clock error and network "
                "delay.",
                Limits(0.8, 1),
            ),
            lines(
                "What is usual of each stage? (median)",
                [Query(quantile(0.5, LATENCY_S, by="stage"), "{{stage}}")],
                "s",
                "If this rises, all events are late. If only 99 % rises, a few are: those of one partition, or of "
                "incomplete windows.",
            ),
            lines(
                "How far behind is each topic read, in time?",
                [Query("max by (topic) (gaitway_consumer_lag_seconds)", "{{topic}}")],
                "s",
                "Worst partition. If all watch topics lag, look at features and its CPU; for activity.windows, which "
                "keeps only an hour, look at inference. Runbook GaitwayLagGrowing.",
                Limits(5, 30),
            ),
            lines(
                "How far behind, in records?",
                [Query("sum by (topic) (gaitway_consumer_lag_records)", "{{topic}}")],
                "none",
                "Records not fetched yet, all partitions. Divided by the rate below it gives the time to catch up.",
            ),
            bars(
                "Which partition lags?",
                Query("topk(8, max by (topic, partition) (gaitway_consumer_lag_seconds))", "{{topic}}/{{partition}}"),
                "s",
                "The eight worst. If one partition lags alone, look at its worker, or for a user who sends too much. "
                "If all do, capacity is short.",
                Limits(5, 30),
            ),
            bars(
                "Which partition stands still?",
                Query(
                    "topk(8, max by (topic, partition) (gaitway_partition_progress_age_seconds))",
                    "{{topic}}/{{partition}}",
                ),
                "s",
                "The eight worst: time since it moved or had nothing to read. At 60 s its worker is restarted. Runbook "
                "GaitwayPartitionStuck.",
                Limits(30, 60),
            ),
            lines(
                "How many windows close, and why?",
                [Query(rate("gaitway_features_windows_total", "closed_by"), "{{closed_by}}")],
                "cps",
                "complete: all announced data had arrived. grace: the grace period was over, so the event is about a "
                "minute late. If these increase, uploads get lost; see Data quality.",
                stacked=True,
            ),
            lines(
                "How many records are folded?",
                [Query(rate("gaitway_features_records_total", "modality"), "{{modality}}")],
                "cps",
                "Records of the watch topics that features processed. Below the rate that ingest accepts, the lag "
                "grows.",
            ),
            lines(
                "How much waits in features?",
                [
                    Query("sum(gaitway_features_open_windows)", "open windows"),
                    Query("sum(gaitway_features_merge_buffered_records)", "records that wait for another topic"),
                ],
                "none",
                "About three open windows for each watch. Records wait when a topic is behind the others: if they "
                "only increase, ticks are missing (Gateway) or one partition is stuck.",
            ),
            lines(
                "Does Redis keep up?",
                [
                    Query("sum(gaitway_features_unsaved_baselines)", "updates waiting"),
                    Query(rate("gaitway_features_redis_errors_total"), "errors a second"),
                    Query(rate("gaitway_features_unreadable_users_total", "reason"), "users set aside: {{reason}}"),
                ],
                "none",
                "Updates wait while Redis does not answer. At GAITWAY_MAX_UNSAVED_BASELINES (50,000) features stops "
                "consuming. Runbook GaitwayRedisAway.",
                Limits(10_000, 50_000),
            ),
            lines(
                "How long does a transaction take?",
                quantiles("gaitway_inference_transaction_seconds"),
                "s",
                "From begin to commit, for one partition's events. Above 0.25 s look at the brokers: inference starts "
                "at most one transaction per partition every 0.25 s.",
                Limits(0.25, 1),
            ),
            lines(
                "Which records cannot be processed?",
                [Query(rate("gaitway_rejected_records_total", "service, reason"), "{{service}}: {{reason}}")],
                "cps",
                "They are in watch.rejected, with reason, origin and offset as headers. Runbook "
                "GaitwayRecordsRejected.",
                stacked=True,
            ),
            lines(
                "Is anything computed twice?",
                [Query(rate("gaitway_inference_duplicate_windows_total"), "windows dropped")],
                "cps",
                "Windows whose event exists already. For a minute after a restart of features this is normal and has "
                "no effect. If it continues, features does not commit; see its log.",
            ),
            lines(
                "Are the event loops free? (99 %)",
                [Query(quantile(0.99, "gaitway_event_loop_lag_seconds", by="job"), "{{job}}")],
                "s",
                "Delay of a timer. Above 0.25 s heartbeats to Kafka are at risk: CPU is short, add workers.",
                Limits(0.1, 0.25),
            ),
            lines(
                "When did each worker last complete a loop?",
                [Query("time() - gaitway_progress_timestamp_seconds", "{{job}} {{instance}}")],
                "s",
                "Above 60 s /healthz says 503 and the worker is restarted.",
                Limits(30, 60),
            ),
            lines(
                "Which version runs where?",
                [Query("count by (service, version) (gaitway_build_info)", "{{service}} {{version}}")],
                "none",
                "Workers by version. If two versions of a service run for longer than an upgrade, the roll-out is "
                "stuck.",
            ),
        ],
    )
