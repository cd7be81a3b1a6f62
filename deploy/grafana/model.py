"""The dashboard of the model: inputs, answers, confidence, drift, speed and roll-out."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Limits, Query, board, lines, number, quantile, quantiles, rate, share

EVENTS = "gaitway_inference_events_total"
CONFIDENCE = "gaitway_inference_confidence_ratio"
MODEL_S = "gaitway_inference_model_seconds"
PSI = Limits(0.1, 0.25)
INFO = "gaitway_inference_model_info"
REFUSED = "gaitway_inference_refused_bundles_total"
SHADOW = "gaitway_inference_shadow_windows_total"
COMPARED = SHADOW + '{outcome=~"same|different"}'


def model() -> Dashboard:
    """The model in production."""
    return board(
        "gaitway-model",
        "The model's inputs and answers, its confidence, its drift from the training data, its speed, and the "
        "roll-out of the next one.",
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
            # Model roll-out.
            number(
                "Roll-out: does every worker run what the file names?",
                "min(gaitway_inference_rollout_applied)",
                "none",
                "0: a worker has refused a bundle or the roll-out file and goes on with what it had. Runbook "
                "GaitwayBundleRefused.",
                Limits(1, 0.5),
                width=6,
                words="refused/yes",
            ),
            number(
                "Roll-out: how often do shadow and live model agree?",
                share(SHADOW + '{outcome="same"}', COMPARED),
                "percentunit",
                "Windows with the same activity from both. Without labels it does not say who is right: compare the "
                "two topics offline where they differ.",
                Limits(0.9, 0.7),
                width=6,
            ),
            number(
                "Roll-out: what share does the shadow miss?",
                share(SHADOW + '{outcome=~"failed|skipped"}', SHADOW),
                "percentunit",
                "skipped: too little CPU for two models, the rest is a fair sample. failed: the log of inference says "
                "why; do not promote a model that fails.",
                Limits(0.01, 0.2),
                width=6,
            ),
            number(
                "Roll-out: has the shadow's confidence drifted?",
                "max(gaitway_inference_shadow_confidence_drift_psi)",
                "none",
                "As for the live model, against the shadow's own reference. Above the live model's: its training data "
                "fit these users less.",
                PSI,
                width=6,
            ),
            lines(
                "Roll-out: which bundles do the workers run?",
                [Query(f"sum by (role, model) ({INFO})", "{{role}} {{model}}")],
                "none",
                "Number of workers by role and model. Two live models for longer than seconds: one worker has not "
                "followed, runbook GaitwayBundleRefused.",
                stacked=True,
            ),
            lines(
                "Roll-out: what becomes of the shadow's windows?",
                [Query(rate(SHADOW, "outcome"), "{{outcome}}"), Query(rate(REFUSED, "role"), "{{role}} refused")],
                "cps",
                "same and different are on activity.events.shadow. A rise of different after a change of the live "
                "input: only one of the two follows it.",
                stacked=True,
            ),
            lines(
                "Roll-out: what would people do by the shadow?",
                [Query(rate("gaitway_inference_shadow_events_total", "activity"), "{{activity}}")],
                "cps",
                "The shadow's events by activity. Compare with the live model's: a class that only one of them sees is "
                "the first thing to look into.",
                stacked=True,
            ),
            lines(
                "Roll-out: how far is the shadow from its training data?",
                [
                    Query("max(gaitway_inference_shadow_class_drift_psi)", "classes"),
                    Query("max(gaitway_inference_shadow_confidence_drift_psi)", "confidence"),
                ],
                "none",
                "Population stability index, worst worker, as for the live model. Promote a shadow only when it is no "
                "further away than the live model.",
                PSI,
            ),
        ],
    )
