"""Verdicts on events, with times given by hand."""

import pytest

from gaitway.canary.reference import Reference
from gaitway.canary.stream import Stream
from gaitway.canary.verification import EventData, EventVerifier
from shared.contracts.modality import MODALITY_NAMES
from tests.shared.windows.signals import BASE_MS

HOP_MS = 10_000
PHASE_MS = 7_000
BEGIN_MS = BASE_MS + PHASE_MS + 2_000
START_MS = BASE_MS + PHASE_MS + HOP_MS
STEP = 5
"""The upload that ends 32 s after the phase, and with it the first whole window."""


@pytest.fixture
def verifier() -> EventVerifier:
    reference = Reference("r", "m@1", ("sitting", "walking", None))
    return EventVerifier(Stream([b""], HOP_MS, PHASE_MS, BEGIN_MS), reference, late_after_s=5, missing_after_s=60)


def event(**changes) -> EventData:
    data = EventData(
        device="d",
        window_start_ms=START_MS,
        window_end_ms=START_MS + 20_000,
        hop_ms=HOP_MS,
        activity="walking",
        probabilities={"walking": 0.75, "sitting": 0.25},
        modalities=list(MODALITY_NAMES),
        coverage=dict.fromkeys(MODALITY_NAMES, 1.0),
        model="m@2",
    )
    for name, value in changes.items():
        setattr(data, name, value)
    return data


def test_expected_event_in_time_is_right(verifier):
    verifier.sent(STEP, 100.0)
    verdict = verifier.event(event(), 100.75)
    assert (verdict.outcome, verdict.latency_s, verdict.why) == ("right", 0.75, "")
    assert verifier.overdue(1000.0) == []


def test_late_counts_from_the_sending_that_was_accepted(verifier):
    verifier.sent(STEP, 100.0)
    verifier.sent(STEP, 110.0)
    assert verifier.event(event(), 114.0).outcome == "right"


def test_event_after_the_limit_is_late(verifier):
    verifier.sent(STEP, 100.0)
    assert verifier.event(event(), 105.5).outcome == "late"


def test_missing_counts_from_the_first_sending_and_once(verifier):
    verifier.sent(STEP, 100.0)
    verifier.sent(STEP, 150.0)
    assert verifier.overdue(160.0) == []
    assert [(v.outcome, v.window_start_ms) for v in verifier.overdue(160.5)] == [("missing", START_MS)]
    assert verifier.overdue(200.0) == []
    verifier.sent(STEP, 201.0)  # The upload goes through at last.
    assert verifier.event(event(), 202.0) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"modalities": ["accelerometer", "steps"]},
        {"coverage": {"accelerometer": 1.0, "heart_rate": 0.95, "steps": 1.0}},
        {"probabilities": {"walking": 0.75}},
        {"hop_ms": 20_000},
        {"window_end_ms": START_MS + 10_000},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_event_with_another_value_is_wrong(verifier, changes):
    verifier.sent(STEP, 100.0)
    assert verifier.event(event(**changes), 100.5).outcome == "wrong"


@pytest.mark.parametrize(
    ("model", "start_ms", "outcome"),
    [("m@1", START_MS, "wrong"), ("m@2", START_MS, "right"), ("m@1", START_MS + HOP_MS, "right")],
    ids=["known", "another bundle", "too close to call"],
)
def test_a_known_bundle_must_say_what_it_is_known_to_say(verifier, model, start_ms, outcome):
    verifier.sent(STEP, 100.0)
    verifier.sent(STEP + 2, 100.0)
    received = event(model=model, activity="running", window_start_ms=start_ms, window_end_ms=start_ms + 20_000)
    assert verifier.event(received, 100.5).outcome == outcome


def test_a_second_event_is_wrong(verifier):
    verifier.sent(STEP, 100.0)
    verifier.event(event(), 100.5)
    assert verifier.event(event(), 100.6).why == "a second event"


def test_an_event_of_no_window_is_wrong(verifier):
    assert verifier.event(event(window_start_ms=START_MS - HOP_MS), 100.5).outcome == "wrong"
