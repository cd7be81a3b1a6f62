"""The dashboard of the model: inputs, answers, confidence, drift and speed."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Limits, Query, board, lines, number, quantile, quantiles, rate, share

EVENTS = "gaitway_inference_events_total"
CONFIDENCE = "gaitway_inference_confidence_ratio"
MODEL_S = "gaitway_inference_model_seconds"
PSI = Limits(0.1, 0.25)


def model() -> Dashboard:
    """The model in production."""
    return board(
        "gaitway-model",
        "The model's inputs and answers, its confidence, its drift from the training data, and its speed.",
        [
            number(
                "Has the confidence drifted?",
                "max(gaitway_inference_confidence_drift_psi)",
                "none",
                "Population stability index of the last events' confidence against people the model did not know in "
                "training. Above 0.25 for an hour: runbook GaitwayModelDrift. No data: fewer than 100 events since "
                "the start.",
                PSI,
                width=6,
            ),
            number(
                "What share is unknown?",
                share(EVENTS + '{activity="unknown"}', EVENTS),
                "percentunit",
                "Events without a class, because the model's confidence is too low. Causes of a rise: a new kind of "
                "device, a missing modality (masks below), or activities that have no class.",
                Limits(0.1, 0.3),
                width=6,
            ),
            number(
                "What does one window cost?",
                f"{rate(MODEL_S + '_sum')} / {rate('gaitway_inference_batch_windows_sum')}",
                "s",
                "Model time per window. Compare with docs/performance.md; a rise without a new model means a machine "
                "that is short of CPU.",
                Limits(0.005, 0.02),
                width=6,
            ),
            number(
                "Does the canary get the right events?",
                share('gaitway_canary_windows_total{outcome="right"}', "gaitway_canary_windows_total"),
                "percentunit",
                "Of a known recording's windows. wrong: runbook GaitwayCanaryWrong; late or missing: Pipeline.",
                Limits(0.99, 0.95),
                width=6,
            ),
            lines(
                "What do people do?",
                [Query(rate(EVENTS, "activity"), "{{activity}}")],
                "cps",
                "Events by activity. If a class suddenly vanishes or dominates, suspect a model or a sensor.",
                stacked=True,
            ),
            lines(
                "How far is the model from its training data?",
                [
                    Query("max(gaitway_inference_class_drift_psi)", "classes"),
                    Query("max(gaitway_inference_confidence_drift_psi)", "confidence"),
                ],
                "none",
                "Population stability index, worst worker. Below 0.1: the same population; above 0.25: another. "
                "Classes move with the time of day: compare with the same hour a week ago.",
                PSI,
            ),
            lines(
                "How sure is it?",
                [Query(quantile(q, CONFIDENCE), name) for q, name in ((0.1, "worst tenth"), (0.5, "median"))],
                "percentunit",
                "Probability of the class it names. When it sinks look at the masks, then at the baselines (Data "
                "quality).",
            ),
            lines(
                "On which modalities does it decide?",
                [Query(rate(EVENTS, "modalities"), "{{modalities}}")],
                "cps",
                "Accelerometer alone is less certain. Data quality shows why a modality is missing.",
                stacked=True,
            ),
            lines(
                "Which model speaks?",
                [Query(rate(EVENTS, "model"), "{{model}}")],
                "cps",
                "Two models run together only during an upgrade; compare their activities then.",
                stacked=True,
            ),
            lines(
                "How large are the batches?",
                quantiles("gaitway_inference_batch_windows"),
                "none",
                "Windows per batch. They grow with load, by design; at 512 inference is reducing a backlog.",
            ),
            lines(
                "How long does the model take?",
                quantiles(MODEL_S),
                "s",
                "Time of one batch. Longer times with larger batches are normal; with equal batches CPU is short: "
                "GAITWAY_TORCH_THREADS and limits.",
                Limits(0.25, 1),
            ),
            lines(
                "How busy is the model?",
                [Query(f"sum by (instance) (rate({MODEL_S}_sum[$__rate_interval]))", "{{instance}}")],
                "percentunit",
                "Share of time inside the model, by worker. Above 0.7 add inference workers; one alone high: it has "
                "the busiest partitions.",
                Limits(0.5, 0.7),
            ),
            lines(
                "What becomes of the canary's windows?",
                [
                    Query(rate("gaitway_canary_windows_total", "outcome"), "windows {{outcome}}"),
                    Query(rate('gaitway_canary_uploads_total{outcome="refused"}'), "uploads refused"),
                ],
                "cps",
                "One known recording, repeated. Anything but right: runbooks GaitwayCanaryWrong, GaitwayCanarySilent.",
                stacked=True,
            ),
            lines(
                "How late does the canary see its events?",
                quantiles("gaitway_canary_latency_seconds"),
                "s",
                "From its upload to the event in its hands: the services' latency and the way of both, as an "
                "application has it.",
                Limits(1, 5),
            ),
        ],
    )
