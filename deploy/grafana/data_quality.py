"""Gaps and their reasons, coverage, clocks, silent devices, late and repeated samples."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Limits, Query, board, lines, number, quantile, rate, share

GAP_SECONDS = "gaitway_features_gap_seconds_total"
SKEW_S = "gaitway_ingest_clock_skew_seconds"
COVERAGE = "gaitway_features_window_coverage_ratio"


def data_quality() -> Dashboard:
    """What the watches deliver. No metric names a device: watch.gaps does."""
    return board(
        "gaitway-data-quality",
        "What the watches deliver: gaps by reason, coverage, clocks, silent devices. No metric names a user or a "
        "device; the records of watch.gaps do.",
        [
            number(
                "How many devices are silent?",
                "sum(gaitway_features_silent_devices)",
                "none",
                "In memory, with no sample of the last 2 min. Watches charge and sleep; many at once is the network or "
                "an app's release.",
                Limits(100, 1_000),
                width=6,
            ),
            number(
                "What share of users' time has no accelerometer?",
                rate(GAP_SECONDS + '{modality="accelerometer"}') + " / sum(gaitway_features_users)",
                "percentunit",
                "Gap seconds per second and user in memory. No accelerometer, no event. The reasons are below.",
                Limits(0.1, 0.3),
                width=6,
            ),
            number(
                "How wrong is the worst clock?",
                "max(gaitway_features_clock_skew_max_seconds)",
                "s",
                "Of a device in memory. Samples more than 5 min in the future are refused; a slow clock makes events "
                "look old. Harmless while it is one device.",
                Limits(60, 300),
                width=6,
            ),
            number(
                "What share of samples comes too late?",
                share("gaitway_features_late_samples_total", "gaitway_ingest_samples_total"),
                "percentunit",
                "For windows that were final already: lost for the model. Raise GAITWAY_GRACE_S when watches often "
                "send later than it waits.",
                Limits(0.01, 0.05),
                width=6,
            ),
            lines(
                "Why are data missing?",
                [Query(rate(GAP_SECONDS, "reason"), "{{reason}}")],
                "none",
                "Gap seconds per second, all users. not_sent: watch off or out of reach. dropped_upload: BLE or "
                "network. sensor_silent: permission or sensor. zero_filled, implausible, frozen, wrong_rate: the app. "
                "not_worn: nobody's fault.",
                stacked=True,
            ),
            lines(
                "What is missing?",
                [Query(rate(GAP_SECONDS, "modality"), "{{modality}}")],
                "none",
                "Gap seconds per second, all users. Heart rate and steps alone: events go on with a mask, less "
                "certain.",
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
                "The eight most frequent, and the samples that no body gives. Read watch.gaps for the users and "
                "devices of a kind: the same device again and again is that device, all of a model are its app.",
            ),
            lines(
                "Which modalities do windows have?",
                [Query(rate("gaitway_features_windows_total", "modalities"), "{{modalities}}")],
                "cps",
                "A mask that grows is a modality that fails more often.",
                stacked=True,
            ),
            lines(
                "How much of a window is covered? (worst tenth)",
                [Query(quantile(0.1, COVERAGE, by="modality"), "{{modality}}")],
                "percentunit",
                "Nine of ten windows have more. The accelerometer passes at 0.9, the others at 0.5: what sinks towards "
                "that will soon be gaps.",
                Limits(0.95, 0.9),
            ),
            lines(
                "How much of a window is covered? (median)",
                [Query(quantile(0.5, COVERAGE, by="modality"), "{{modality}}")],
                "percentunit",
                "When half of all windows lose coverage it is a sampling rate: an app's release.",
                Limits(0.95, 0.9),
            ),
            lines(
                "How wrong are the clocks?",
                [Query(quantile(q, SKEW_S), name) for q, name in ((0.01, "1 %"), (0.5, "median"), (0.99, "99 %"))],
                "s",
                "Gateway's receipt minus the watch's sending, the upload's way included. All shifted: the gateway's "
                "own clock (NTP). The ends: watches; runbook GaitwayClockSkew.",
                signed=True,
            ),
            lines(
                "Which samples are of no use?",
                [
                    Query(rate("gaitway_features_late_samples_total", "modality"), "late: {{modality}}"),
                    Query(rate("gaitway_features_duplicate_samples_total", "modality"), "repeated: {{modality}}"),
                ],
                "cps",
                "Late: for a final window. Repeated: sent again, as a watch does that missed the answer; many with "
                "slow answers (Gateway) are time-outs, without them an app that sends everything twice.",
            ),
            lines(
                "Who is there?",
                [
                    Query("sum(gaitway_features_users)", "users in memory"),
                    Query("sum(gaitway_features_silent_devices)", "silent devices"),
                ],
                "none",
                "A step down is a network or a service; a slow wave is day and night.",
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
                "The eight most frequent. Devices that misbehave before any window: the answer told them the field, "
                "and so does ingest's log.",
            ),
            lines(
                "How good are the accelerometer's baselines?",
                [Query('sum by (state) (gaitway_features_baselines{modality="accelerometer"})', "{{state}}")],
                "none",
                "Users by state. cold: less than 5 min of data. All cold at once: Redis was flushed. unavailable: "
                "Redis is away, and events are less certain.",
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
