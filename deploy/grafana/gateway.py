"""What the watches send, what they are answered, and why something is refused."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Limits, Query, board, lines, number, quantile, quantiles, rate, share

UPLOADS = "gaitway_ingest_uploads_total"
ANSWER_S = "gaitway_ingest_upload_seconds"
WATCH_GIVES_UP_S = 4.0


def gateway() -> Dashboard:
    """ingest."""
    return board(
        "gaitway-gateway",
        "ingest: what the watches send, what they are answered, and why something is refused.",
        [
            number(
                "How many uploads come?",
                rate(UPLOADS),
                "reqps",
                "A watch sends one every few seconds. None at all: the way to the gateway (DNS, TLS, ingress), for the "
                "canary's come at any hour.",
                Limits(0.1, 0.01),
                width=6,
            ),
            number(
                "How many are accepted?",
                share(UPLOADS + '{status="202"}', UPLOADS),
                "percentunit",
                "Below 95 %: the answers and reasons below say whose fault it is.",
                Limits(0.99, 0.95),
                width=6,
            ),
            number(
                "How long do 99 % of answers take?",
                quantile(0.99, ANSWER_S),
                "s",
                "Watches give up after 4 s and send again later. Most of it is Kafka's acknowledgement: look at the "
                "brokers.",
                Limits(1, WATCH_GIVES_UP_S),
                width=6,
            ),
            number(
                "Does Kafka answer?",
                'min(gaitway_dependency_up{job="ingest",dependency="kafka"})',
                "none",
                "As the ingest with the worst view of it says. away: uploads are answered with 503; runbook "
                "GaitwayBrokerAway.",
                Limits(1, 0.5),
                width=6,
                words="away/there",
            ),
            lines(
                "What are uploads answered with?",
                [Query(rate(UPLOADS, "status"), "{{status}}")],
                "reqps",
                "202: in Kafka. 4xx: the watch's fault, and it should not send the same again. 429, 503: overload or "
                "no broker, it will. 500: a bug; its traceback is in the log. Runbooks GaitwayGateway5xx, "
                "GaitwayUploadsRejected.",
                stacked=True,
            ),
            lines(
                "How long does an answer take?",
                quantiles(ANSWER_S),
                "s",
                "From the request's headers to the answer, after Kafka's acknowledgement. If the event loop lags as "
                "well, CPU is short: add ingest workers. If not, Kafka is slow.",
                Limits(1, WATCH_GIVES_UP_S),
            ),
            lines(
                "Why are uploads refused?",
                [
                    Query(rate("gaitway_ingest_rejected_uploads_total", "reason"), "{{reason}}"),
                    Query(rate("gaitway_http_refused_total", "reason"), "HTTP: {{reason}}"),
                ],
                "reqps",
                "HTTP: ended before it was a whole request, see docs/operations.md. unauthorised: tokens or the key. "
                "unavailable, too_many_requests: ours. time: clocks. Others: an app that breaks the format; the log "
                "of ingest and the answer name the field.",
                stacked=True,
            ),
            lines(
                "Which modality is refused?",
                [Query(rate("gaitway_ingest_rejected_uploads_total", "modality"), "{{modality}}")],
                "reqps",
                "none: the upload as a whole. One modality alone after an app's release: that release.",
                stacked=True,
            ),
            lines(
                "How many samples come, of what?",
                [Query(rate("gaitway_ingest_samples_total", "modality"), "{{modality}}")],
                "cps",
                "Accepted. A watch gives 25 of the accelerometer, 1 of heart rate and 1 of steps a second; a modality "
                "that falls alone is an app's or a firmware's release.",
            ),
            lines(
                "Do the ticks go out?",
                [Query(rate("gaitway_ingest_ticks_total"), "ticks")],
                "cps",
                "Partitions times topics a second for each ingest. At 0 an idle topic holds every window back: "
                "restart ingest.",
            ),
            lines(
                "Is the event loop free?",
                [
                    Query(
                        quantile(q, "gaitway_event_loop_lag_seconds", 'job="ingest"'),
                        name,
                    )
                    for q, name in ((0.5, "median"), (0.99, "99 %"))
                ],
                "s",
                "How late a timer of ingest fires. Above 0.25 s something blocks it or CPU is short: add workers.",
                Limits(0.1, 0.25),
            ),
            lines(
                "Do connections pile up?",
                [Query('sum by (instance) (process_open_fds{job="ingest"})', "{{instance}}")],
                "none",
                "Open file descriptors, most of them watches' connections, kept for 75 s. At process_max_fds no watch "
                "gets in: raise the limit or add workers.",
            ),
        ],
    )
