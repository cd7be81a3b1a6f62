"""The log of the features stage: the peers, which have no quality checks, must be able to get every window right."""

from benchmarks.features_check import check
from benchmarks.features_log import PATTERNS, make_features_log
from benchmarks.peers.features_job import pieces, window
from shared.contracts.modality import WINDOW_MS
from shared.contracts.window import decode_window

NOW_MS = 1_700_000_000_000


def test_computation_of_the_peers_gives_every_window_of_the_offline_pipeline():
    log = make_features_log(PATTERNS, 360, NOW_MS)
    found = []
    for user, pattern in zip(log.users, log.patterns, strict=True):
        parts = [
            piece
            for upload in pattern.uploads
            for record in upload
            for piece in pieces(
                {
                    "device": record.device,
                    "modality": record.modality.name,
                    "t0_ms": record.t0_ms,
                    "rate_hz": record.rate_hz,
                    "samples": record.samples.tolist(),
                    "received_at_ms": NOW_MS,
                }
            )
        ]
        medians = []
        for expected in pattern.records:
            start_ms = expected.window_start_ms
            of_window = [part for part in parts if start_ms <= part["t0_ms"] < start_ms + WINDOW_MS]
            value, medians = window(of_window, start_ms, medians)
            found.append((user, decode_window(value)))
    check(log, log.expected, found, own_baseline=True)
