import json
from pathlib import Path

import msgspec
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from services.inference.cloud_events import ModelName, activity_event, to_message
from shared.contracts.event import ActivityEvent, Answer, event_id
from shared.contracts.labels import HAR7, HAR10, OTHER, UNKNOWN
from tests.services.inference.windows import TRACE, window
from tests.shared.windows.signals import BASE_MS

DATA = Path(__file__).parents[2] / "data"
HAR7_MODEL = ModelName("fused@1.0.0", "har7")
PROBABILITIES = dict(zip(HAR7, (0.01, 0.02, 0.125, 0.75, 0.0625, 0.0125, 0.02), strict=True))
MASK = {"accelerometer": True, "heart_rate": True, "steps": False}


def event(probabilities=PROBABILITIES, model=HAR7_MODEL, **changes):
    return activity_event("u1", window(0, mask=MASK, **changes), probabilities, model, BASE_MS + 21_350)


def test_the_golden_event():
    headers, value = to_message(event(), TRACE)
    assert value + b"\n" == (DATA / "event_v1.json").read_bytes()
    golden = json.loads((DATA / "event_v1.headers.json").read_text())
    assert {name: text.decode() for name, text in headers} == golden
    assert len(headers) == len(golden)


def test_it_is_a_cloud_event_in_binary_mode():
    headers, value = to_message(event(), None)
    read = from_binary(KafkaMessage(dict(headers), None, value), JSONFormat(), CloudEvent)
    assert read.get_specversion() == "1.0"
    assert read.get_id() == event_id("u1", "watch", BASE_MS, 10_000, "fused@1.0.0")
    assert read.get_type() == "io.gaitway.activity.classified.v1"
    assert "traceparent" not in dict(headers)


def test_what_it_says():
    data = json.loads(to_message(event(), None)[1])
    assert (data["activity"], data["confidence"]) == ("walking", 0.75)
    assert data["modalities"] == ["accelerometer", "heart_rate"]
    assert data["window_end_ms"] - data["window_start_ms"] == 20_000
    assert data["movement"] == pytest.approx({"static": 0.155, "dynamic": 0.845})


def test_below_the_bundles_threshold_it_is_unknown():
    for threshold, activity in ((0.0, "walking"), (0.75, "walking"), (0.751, UNKNOWN)):
        told = event(model=ModelName("m@1.0.0", "har7", threshold))
        assert told.activity == activity
        # What the model thought is told all the same.
        assert (told.confidence, told.probabilities) == (0.75, PROBABILITIES)
        assert told.movement == pytest.approx({"static": 0.155, "dynamic": 0.845})


def test_what_is_none_of_the_activities_is_unknown_with_the_nearest_one():
    probabilities = dict.fromkeys(HAR10, 0.01) | {"standing": 0.21, OTHER: 0.7}
    told = event(probabilities, ModelName("m@1.0.0", "har10", 0.4))
    assert (told.activity, told.confidence, told.nearest) == (UNKNOWN, 0.7, "standing")
    assert told.movement == pytest.approx({"static": 0.23, "dynamic": 0.04, OTHER: 0.73})


def test_an_app_that_knows_seven_classes_reads_its_answer():
    probabilities = dict.fromkeys(HAR10, 0.05) | {"strength": 0.4, "walking": 0.15}
    told = event(probabilities, ModelName("m@1.0.0", "har10"))
    assert (told.activity, told.har7) == ("strength", Answer(UNKNOWN, 0.5))
    # Of a model of har7 it is the event's own answer; of har2 there is none.
    seven = event()
    assert seven.har7 == Answer(seven.activity, seven.confidence)
    assert event({"static": 0.5, "dynamic": 0.5}, ModelName("m@1.0.0", "har2")).har7 is None


def test_an_event_of_an_older_version_is_read():
    old = json.loads((DATA / "event_v1.json").read_bytes())
    del old["nearest"], old["har7"]
    assert msgspec.convert(old, ActivityEvent).har7 is None


@pytest.mark.parametrize(
    ("label_set", "probabilities", "movement"),
    [
        ("har2", {"static": 0.25, "dynamic": 0.75}, {"static": 0.25, "dynamic": 0.75}),
        ("har10", dict.fromkeys(HAR10, 0.1), {"static": 0.3, "dynamic": 0.4, "other": 0.3}),
        ("har7", {"walking": 0.5, "sitting": 0.5}, {"static": 0.5, "dynamic": 0.5}),
    ],
)
def test_movement_for_every_label_set(label_set, probabilities, movement):
    assert event(probabilities, ModelName("m@1.0.0", label_set)).movement == pytest.approx(movement)


def test_the_identity_depends_on_each_of_its_parts():
    parts = ("u1", "watch", BASE_MS, 10_000, "m@1")
    changed = [("u2", *parts[1:])]
    changed += [
        (*parts[:i], other, *parts[i + 1 :]) for i, other in ((1, "w"), (2, BASE_MS + 1), (3, 20_000), (4, "m@2"))
    ]
    ids = {event_id(*parts), *(event_id(*other) for other in changed)}
    assert len(ids) == 6
    assert event_id("u1", "watch", BASE_MS, 10_000, "m@1") == event_id(*parts)
    assert event_id("u", "1watch", *parts[2:]) != event_id("u1", "watch", *parts[2:])
