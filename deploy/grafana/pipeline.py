"""From the bus to the event: latency by stage, lag, windows, each partition's progress, Redis."""

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
                "gateway_to_event is the objective, gateway_to_window and window_to_event are its parts: the larger "
                "says whether features or inference. device_to_gateway and device_to_event hold the watch's clock and "
                "its way.",
                Limits(0.8, 1),
            ),
            lines(
                "What is usual of each stage? (median)",
                [Query(quantile(0.5, LATENCY_S, by="stage"), "{{stage}}")],
                "s",
                "When this moves all events are late, when only 99 % move a few are: one partition, or windows that "
                "wait.",
            ),
            lines(
                "How far behind is each topic read, in time?",
                [Query("max by (topic) (gaitway_consumer_lag_seconds)", "{{topic}}")],
                "s",
                "Worst partition. All topics of features: features or its CPU; activity.windows: inference. That "
                "topic keeps an hour only. Runbook GaitwayLagGrowing.",
                Limits(5, 30),
            ),
            lines(
                "How far behind, in records?",
                [Query("sum by (topic) (gaitway_consumer_lag_records)", "{{topic}}")],
                "none",
                "Not fetched yet, all partitions. Divided by the records below: the time until it has caught up.",
            ),
            bars(
                "Which partition lags?",
                Query("topk(8, max by (topic, partition) (gaitway_consumer_lag_seconds))", "{{topic}}/{{partition}}"),
                "s",
                "The eight worst. One partition alone: its worker, or a user who sends more than all others. All: "
                "capacity.",
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
                "complete: all that the uploads announced had come. grace: the wait for the rest was over, which "
                "makes an event a minute late. More of these: uploads get lost; see Data quality.",
                stacked=True,
            ),
            lines(
                "How many records are folded?",
                [Query(rate("gaitway_features_records_total", "modality"), "{{modality}}")],
                "cps",
                "Records of the watch topics that features took in. Lower than what ingest accepts: the lag grows.",
            ),
            lines(
                "How much waits in features?",
                [
                    Query("sum(gaitway_features_open_windows)", "open windows"),
                    Query("sum(gaitway_features_merge_buffered_records)", "records that wait for another topic"),
                ],
                "none",
                "About three open windows for each watch. Records wait when a topic is behind the others: if they only "
                "grow, ticks are missing (Gateway) or one partition stands still.",
            ),
            lines(
                "Does Redis keep up?",
                [
                    Query("sum(gaitway_features_unsaved_baselines)", "updates waiting"),
                    Query(rate("gaitway_features_redis_errors_total"), "errors a second"),
                    Query(rate("gaitway_features_unreadable_users_total", "reason"), "users set aside: {{reason}}"),
                ],
                "none",
                "Updates wait while Redis is away: at GAITWAY_MAX_UNSAVED_BASELINES (50,000) consuming waits. Runbook "
                "GaitwayRedisAway.",
                Limits(10_000, 50_000),
            ),
            lines(
                "How long does a transaction take?",
                quantiles("gaitway_inference_transaction_seconds"),
                "s",
                "Begin to commit, of one partition's events. Slower than 0.25 s: look at the brokers; inference "
                "starts one per partition every 0.25 s at most.",
                Limits(0.25, 1),
            ),
            lines(
                "Which records cannot be processed?",
                [Query(rate("gaitway_rejected_records_total", "service, reason"), "{{service}}: {{reason}}")],
                "cps",
                "They lie in watch.rejected, with reason, origin and offset as headers. Runbook "
                "GaitwayRecordsRejected.",
                stacked=True,
            ),
            lines(
                "Is anything computed twice?",
                [Query(rate("gaitway_inference_duplicate_windows_total"), "windows dropped")],
                "cps",
                "Windows whose event is out already: normal for a minute after features restarted, and without effect. "
                "All the time: features does not commit; see its log.",
            ),
            lines(
                "Are the event loops free? (99 %)",
                [Query(quantile(0.99, "gaitway_event_loop_lag_seconds", by="job"), "{{job}}")],
                "s",
                "How late a timer fires. Above 0.25 s heartbeats to Kafka are at risk: CPU is short, add workers.",
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
                "Workers by version. Two versions of one service for longer than an upgrade: the roll-out is stuck.",
            ),
        ],
    )
