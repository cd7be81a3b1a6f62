"""The dashboard of data quality: gaps by reason, coverage, clocks, silent devices, late and repeated samples."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Limits, Query, board, lines, number, quantile, rate, share

GAP_SECONDS = "gaitway_features_gap_seconds_total"
SKEW_S = "gaitway_ingest_clock_skew_seconds"
COVERAGE = "gaitway_features_window_coverage_ratio"


def data_quality() -> Dashboard:
    """Data quality of the watches. Metrics name no device; watch.gaps does."""
    return board(
        "gaitway-data-quality",
        "What the watches deliver: gaps by reason, coverage, clocks, silent devices. No metric names a user or a "
        "device; the records of watch.gaps do.",
        [
            number(
                "How many devices are silent?",
                "sum(gaitway_features_silent_devices)",
                "none",
                "Devices in memory without a sample in the last 2 min. Watches charge and sleep. If many are silent at "
                "once, look at the network or an app's release.",
                Limits(100, 1_000),
                width=6,
            ),
            number(
                "What share of users' time has no accelerometer?",
                rate(GAP_SECONDS + '{modality="accelerometer"}') + " / sum(gaitway_features_users)",
                "percentunit",
                "Gap seconds per second and user in memory. Without an accelerometer there is no event. The reasons "
                "are below.",
                Limits(0.1, 0.3),
                width=6,
            ),
            number(
                "How wrong is the worst clock?",
                "max(gaitway_features_clock_skew_max_seconds)",
                "s",
                "Largest skew of a device in memory. Samples more than 5 min in the future are refused; a slow clock "
                "makes events look old. A single device is harmless.",
                Limits(60, 300),
                width=6,
            ),
            number(
                "What share of samples comes too late?",
                share("gaitway_features_late_samples_total", "gaitway_ingest_samples_total"),
                "percentunit",
                "Samples of windows that are already final; the model never gets them. Raise GAITWAY_GRACE_S if "
                "watches often send later.",
                Limits(0.01, 0.05),
                width=6,
            ),
            lines(
                "Why are data missing?",
                [Query(rate(GAP_SECONDS, "reason"), "{{reason}}")],
                "none",
                "Gap seconds per second, all users. not_sent: watch off or out of reach. dropped_upload: BLE or "
                "network. sensor_silent: permission or sensor. zero_filled, implausible, frozen, wrong_rate: the app. "
                "not_worn: no fault.",
                stacked=True,
            ),
            lines(
                "What is missing?",
                [Query(rate(GAP_SECONDS, "modality"), "{{modality}}")],
                "none",
                "Gap seconds per second, all users. If only heart rate or steps are missing, events continue with a "
                "mask and less confidence.",
                stacked=True,
            ),
            lines(
                "How many gaps, of what and why?",
                [
                    Query(
                        f"topk(8, {rate('gaitway_features_gaps_total', 'modality, reason')})",
                        "{{modality}}: {{reason}}",
                    ),
                    Query(
                        rate("gaitway_features_implausible_samples_total", "modality, fault"),
                        "{{modality}}: samples, {{fault}}",
                    ),
                ],
                "cps",
                "The eight most frequent gaps, and the implausible samples. watch.gaps has the users and devices: if "
                "it is always one device, the device is faulty; if it is all devices of a model, their app is.",
            ),
            lines(
                "Which modalities do windows have?",
                [Query(rate("gaitway_features_windows_total", "modalities"), "{{modalities}}")],
                "cps",
                "If a mask becomes more frequent, its missing modality fails more often.",
                stacked=True,
            ),
            lines(
                "How much of a window is covered? (worst tenth)",
                [Query(quantile(0.1, COVERAGE, by="modality"), "{{modality}}")],
                "percentunit",
                "Nine of ten windows have more. The accelerometer passes at 0.9, the others at 0.5; a value that sinks "
                "towards its limit will soon cause gaps.",
                Limits(0.95, 0.9),
            ),
            lines(
                "How much of a window is covered? (median)",
                [Query(quantile(0.5, COVERAGE, by="modality"), "{{modality}}")],
                "percentunit",
                "If half of all windows lose coverage, an app's release has probably changed the sampling rate.",
                Limits(0.95, 0.9),
            ),
            lines(
                "How wrong are the clocks?",
                [Query(quantile(q, SKEW_S), name) for q, name in ((0.01, "1 %"), (0.5, "median"), (0.99, "99 %"))],
                "s",
                "Gateway's receipt minus the watch's sending, including network delay. If all lines shift, check the "
                "gateway's clock (NTP); if only the outer ones do, see runbook GaitwayClockSkew.",
                signed=True,
            ),
            lines(
                "Which samples are of no use?",
                [
                    Query(rate("gaitway_features_late_samples_total", "modality"), "late: {{modality}}"),
                    Query(rate("gaitway_features_duplicate_samples_total", "modality"), "repeated: {{modality}}"),
                ],
                "cps",
                "Late: for a final window. Repeated: sent again because the watch got no answer. Many repetitions are "
                "due to slow answers (dashboard Gateway), or to an app that sends everything twice.",
            ),
            lines(
                "Who is there?",
                [
                    Query("sum(gaitway_features_users)", "users in memory"),
                    Query("sum(gaitway_features_silent_devices)", "silent devices"),
                ],
                "none",
                "A sudden drop is a fault of a network or a service; a slow wave is day and night.",
            ),
            lines(
                "Which uploads break the format?",
                [
                    Query(
                        f"topk(8, {rate('gaitway_ingest_rejected_uploads_total', 'modality, reason')})",
                        "{{modality}}: {{reason}}",
                    )
                ],
                "reqps",
                "The eight most frequent reasons of refusal. The answer to the watch and ingest's log name the field.",
            ),
            lines(
                "How good are the accelerometer's baselines?",
                [Query('sum by (state) (gaitway_features_baselines{modality="accelerometer"})', "{{state}}")],
                "none",
                "Users by state. cold: less than 5 min of data. If all are cold at once, Redis was flushed. "
                "unavailable: Redis does not answer, and events have less confidence.",
                stacked=True,
            ),
            lines(
                "How good are the heart rate's baselines?",
                [Query('sum by (state) (gaitway_features_baselines{modality="heart_rate"})', "{{state}}")],
                "none",
                "Users by state. resting is measured, estimated comes from still periods, default is 70 bpm.",
                stacked=True,
            ),
        ],
    )
