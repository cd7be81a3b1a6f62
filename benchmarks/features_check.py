"""Check that a contestant of the features stage produces the offline pipeline's windows, bit for bit."""

import numpy as np

from benchmarks.features_log import FeaturesLog
from benchmarks.peers.features_job import GRACE_MS, HOP_MS
from shared.contracts.modality import WINDOW_MS
from shared.contracts.window import WindowRecord
from shared.windows.closed_window import ClosedWindow
from shared.windows.featurise import window_features

Windows = dict[tuple[str, int], WindowRecord]
"""By (user, window_start_ms)."""


class FeaturesDiffer(AssertionError):
    """A contestant's windows differ from those of the offline pipeline, or are missing."""


def find_closed(log: FeaturesLog) -> Windows:
    """The windows whose end a later piece of the same watch has passed by the grace period."""
    last_ms = [
        max(max(r.t0_ms, (r.end_ms - 1000 / r.rate_hz) // HOP_MS * HOP_MS) for r in pattern.uploads[-1])
        for pattern in log.patterns
    ]
    latest = {user: last_ms[number % len(last_ms)] for number, user in enumerate(log.users)}
    return {
        (user, start_ms): record
        for (user, start_ms), record in log.expected.items()
        if start_ms + WINDOW_MS + GRACE_MS <= latest[user]
    }


def check(log: FeaturesLog, expected: Windows, windows: list[tuple[str, WindowRecord]], *, own_baseline: bool) -> None:
    """Check that every expected window comes once, and for one user per pattern that the features are equal.

    ``own_baseline``: the features must be those for the baseline in the record; otherwise the baseline must also
    equal the offline pipeline's. Raises FeaturesDiffer.
    """
    found = {(user, record.window_start_ms): record for user, record in windows}
    if len(found) != len(windows) or found.keys() != expected.keys():
        missing = len(expected.keys() - found.keys())
        raise FeaturesDiffer(f"{missing} windows are missing, {len(windows) - len(expected) + missing} too many")
    for number, user in enumerate(log.users[: len(log.patterns)]):
        for raw in log.of(number).windows:
            key = user, raw.window_start_ms
            if key in expected:
                _check_one(key, raw, found[key], expected[key], own_baseline=own_baseline)


def _check_one(
    key: tuple[str, int], raw: ClosedWindow, got: WindowRecord, expected: WindowRecord, *, own_baseline: bool
) -> None:
    features = window_features([raw], [got.baseline])[0]
    same = all(np.array_equal(got.features[name], array) for name, array in features.items())
    if not same or got.mask != expected.mask or got.coverage != expected.coverage:
        raise FeaturesDiffer(f"the features of {key} are others than the offline pipeline's")
    if not own_baseline and got.baseline != expected.baseline:
        raise FeaturesDiffer(f"the baseline of {key} is {got.baseline}, offline {expected.baseline}")
