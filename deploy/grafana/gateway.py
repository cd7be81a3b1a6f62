"""The dashboard of ingest: uploads, answers, and reasons of refusal."""

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
                "A watch sends one every few seconds. If there is none at all, check DNS, TLS and ingress: the "
                "canary sends at any hour.",
                Limits(0.1, 0.01),
                width=6,
            ),
            number(
                "How many are accepted?",
                share(UPLOADS + '{status="202"}', UPLOADS),
                "percentunit",
                "Below 95 %, the answers and reasons below show the cause.",
                Limits(0.99, 0.95),
                width=6,
            ),
            number(
                "How long do 99 % of answers take?",
                quantile(0.99, ANSWER_S),
                "s",
                "Watches give up after 4 s and send again later. Most of the time is Kafka's acknowledgement: look at "
                "the brokers.",
                Limits(1, WATCH_GIVES_UP_S),
                width=6,
            ),
            number(
                "Does Kafka answer?",
                'min(gaitway_dependency_up{job="ingest",dependency="kafka"})',
                "none",
                "The worst state of any ingest. away: uploads are answered with 503; runbook GaitwayBrokerAway.",
                Limits(1, 0.5),
                width=6,
                words="away/there",
            ),
            lines(
                "What are uploads answered with?",
                [Query(rate(UPLOADS, "status"), "{{status}}")],
                "reqps",
                "202: in Kafka. 4xx: an error of the watch, which should not send the upload again. 429, 503: "
                "overload or no broker; the watch sends it again. 500: a bug; the log has the traceback. Runbooks "
                "GaitwayGateway5xx, GaitwayUploadsRejected.",
                stacked=True,
            ),
            lines(
                "How long does an answer take?",
                quantiles(ANSWER_S),
                "s",
                "From the request's headers to the answer, which waits for Kafka's acknowledgement. If the event loop "
                "also lags, CPU is short: add ingest workers. If not, Kafka is slow.",
                Limits(1, WATCH_GIVES_UP_S),
            ),
            lines(
                "Why are uploads refused?",
                [
                    Query(rate("gaitway_ingest_rejected_uploads_total", "reason"), "{{reason}}"),
                    Query(rate("gaitway_http_refused_total", "reason"), "HTTP: {{reason}}"),
                ],
                "reqps",
                "HTTP: an incomplete request, see docs/operations.md. unauthorised: tokens or the key. unavailable, "
                "too_many_requests: the service. time: clocks. Others: an app with a wrong format; ingest's log and "
                "the answer name the field.",
                stacked=True,
            ),
            lines(
                "Which modality is refused?",
                [Query(rate("gaitway_ingest_rejected_uploads_total", "modality"), "{{modality}}")],
                "reqps",
                "none: the whole upload. A single modality after an app's release points to that release.",
                stacked=True,
            ),
            lines(
                "How many samples come, of what?",
                [Query(rate("gaitway_ingest_samples_total", "modality"), "{{modality}}")],
                "cps",
                "Accepted samples. A watch sends 25 of the accelerometer, 1 of heart rate and 1 of steps a second. If "
                "one modality falls alone, suspect an app's or a firmware's release.",
            ),
            lines(
                "Do the ticks go out?",
                [Query(rate("gaitway_ingest_ticks_total"), "ticks")],
                "cps",
                "Partitions times topics a second for each ingest. At 0 an idle topic delays all windows: "
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
                "Delay of a timer of ingest. Above 0.25 s something blocks the loop or CPU is short: add workers.",
                Limits(0.1, 0.25),
            ),
            lines(
                "Do connections pile up?",
                [Query('sum by (instance) (process_open_fds{job="ingest"})', "{{instance}}")],
                "none",
                "Open file descriptors, most of them watches' connections, kept for 75 s. At process_max_fds no watch "
                "can connect: raise the limit or add workers.",
            ),
        ],
    )
