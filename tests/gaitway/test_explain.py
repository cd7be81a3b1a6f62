"""The recomputation behind `gaitway explain`, without Kafka."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from gaitway.events import Event
from gaitway.explain.run import Recomputation, compare
from services.inference.cloud_events import ModelName, activity_event
from shared.contracts.event import ActivityEvent
from shared.contracts.labels import UNKNOWN, decide
from shared.contracts.window import AccelerometerBaseline, Baseline, HeartRateBaseline
from shared.model.bundle import LoadedModel, load_bundle
from shared.windows.featurise import MemoryBaselines, featurise, window_features
from tests.bundles import random_bundle
from tests.services.features.kafka_log import as_kafka, kafka_record
from tests.shared.windows.signals import BASE_MS, DEVICE, GRACE_MS, HOP_MS, delivered, fold, wearer

PERSON, OTHER = wearer(1), wearer(2)
START_MS = BASE_MS + 10_000
EVENT = ActivityEvent(
    user="u",
    device=DEVICE,
    window_start_ms=START_MS,
    window_end_ms=START_MS + 20_000,
    utc_offset_min=60,
    activity="walking",
    confidence=1.0,
    label_set="har7",
    probabilities={},
    movement={},
    modalities=[],
    coverage={},
    baseline=Baseline(AccelerometerBaseline("cold", (0, 0, 0)), HeartRateBaseline("default", 70)),
    model="m@1",
    hop_ms=HOP_MS,
    source_received_at_ms=BASE_MS,
    published_at_ms=BASE_MS,
)


def recomputed(uploads, arrivals_ms, users, recorded: ActivityEvent = EVENT) -> Recomputation:
    log = delivered(uploads, arrivals_ms, [(0, 0, 0)] * len(uploads), users=users)
    found = Recomputation(recorded, 3, GRACE_MS)
    for record in log:
        found.deliver(record.topic, [as_kafka(record)])
    for topic in range(3):
        found.deliver(topic, [kafka_record(topic, 10_000, BASE_MS + 10 * GRACE_MS)])
    return found


def test_sources_are_the_records_that_made_the_window():
    uploads = [
        PERSON.upload(0, 15_000, 1),
        OTHER.upload(0, 30_000, 1),
        PERSON.upload(0, 15_000, 1),  # once more
        PERSON.upload(15_000, 25_000, 2),
        PERSON.upload(25_000, 40_000, 3),
        PERSON.upload(15_000, 25_000, 2),  # too late
    ]
    arrivals_ms = [15_000, 15_100, 16_000, 25_000, 40_000, 41_000]
    found = recomputed(uploads, arrivals_ms, ["u", "other", "u", "u", "u", "u"])
    mine = [(s.seq, s.samples) for s in found.sources if s.topic == "watch.heart_rate"]
    assert mine == [(1, 5), (1, 5), (2, 10), (3, 5)]
    assert [found.count_samples(name) for name in ("accelerometer", "heart_rate", "steps")] == [500, 20, 20]
    assert {(s.partition, s.log_ms) for s in found.sources if s.seq == 3} == {(3, BASE_MS + 40_000)}

    alone = fold(
        delivered(
            [u for u in uploads if u[0] is not uploads[1][0]], [*arrivals_ms[:1], *arrivals_ms[2:]], [(0, 0, 0)] * 5
        )
    )
    truth = next(window for window in alone.windows if window.window_start_ms == START_MS)
    assert found.window is not None
    for name, signal in truth.signals.items():
        assert np.array_equal(found.window.signals[name].values, signal.values)
    assert found.baseline is not None
    assert found.baseline.accelerometer.state == "cold"


def test_the_event_says_whether_its_window_has_the_phase_of_its_user():
    """u has the phase 5 s."""
    uploads, arrivals_ms = [PERSON.upload(0, 15_000, 1), PERSON.upload(15_000, 40_000, 2)], [15_000, 40_000]
    for start_ms in (START_MS, START_MS + 5_000):
        recorded = msgspec.structs.replace(EVENT, window_start_ms=start_ms, window_end_ms=start_ms + 20_000)
        found = recomputed(uploads, arrivals_ms, ["u", "u"], recorded)
        assert found.window is not None
        assert found.window.window_start_ms == start_ms
        assert found.count_samples("accelerometer") == 500


def test_record_after_the_grace_period_is_no_source():
    uploads = [PERSON.upload(0, 29_200, 1), PERSON.upload(29_200, 40_000, 2)]
    found = recomputed(uploads, [29_200, 29_200 + GRACE_MS], ["u", "u"])
    assert found.window is not None
    assert found.window.closed_by == "grace"
    assert {source.seq for source in found.sources} == {1}


def test_a_window_that_is_a_gap_says_why():
    found = recomputed([PERSON.upload(0, 15_000, 1)], [15_000], ["u"])
    assert found.closed
    assert found.window is None
    assert found.gaps["accelerometer"] == "coverage"


# --- comparing: an event that inference would have published, and what somebody made of it


UPLOADS = [PERSON.upload(0, 15_000, 1), PERSON.upload(15_000, 40_000, 2)]
ARRIVALS_MS = [15_000, 40_000]


@pytest.fixture
def model(tmp_path: Path, request: pytest.FixtureRequest) -> LoadedModel:
    return load_bundle(random_bundle(tmp_path / "bundle", abstain_below=getattr(request, "param", 0.0)))


def published(model: LoadedModel) -> ActivityEvent:
    closed = fold(delivered(UPLOADS, ARRIVALS_MS, [(0, 0, 0)] * 2))
    (record,) = (
        record
        for _, record in featurise(closed.windows, MemoryBaselines()).windows
        if record.window_start_ms == START_MS
    )
    (row,) = model.probabilities([record.features], [record.mask], [record.baseline.accelerometer.mg])
    name = ModelName(model.name_version, model.label_set, model.abstain_below)
    return activity_event("u", record, dict(zip(model.classes, row.tolist(), strict=True)), name, BASE_MS + 50_000)


def differences(recorded: ActivityEvent, model: LoadedModel) -> list[str]:
    found = recomputed(UPLOADS, ARRIVALS_MS, ["u", "u"])
    return compare(Event("id", {}, 3, 0, None), recorded, found, model, whole=True).differences


@pytest.mark.parametrize(("model", "unknown"), [(0.0, False), (0.99, True)], indirect=["model"])
def test_what_inference_says_is_what_the_log_gives(model, unknown):
    recorded = published(model)
    assert (recorded.activity == UNKNOWN) == unknown
    assert recorded.confidence == max(recorded.probabilities.values())
    assert differences(recorded, model) == []


@pytest.mark.parametrize("model", [0.0, 0.99], indirect=True)
def test_another_word_than_the_events_own_probabilities_give_differs(model):
    recorded = published(model)
    for activity in (*model.classes, UNKNOWN):
        expected = [] if activity == recorded.activity else ["activity"]
        assert differences(msgspec.structs.replace(recorded, activity=activity), model) == expected
    assert differences(msgspec.structs.replace(recorded, confidence=recorded.confidence - 1e-3), model) == ["activity"]


def test_the_threshold_is_that_of_the_bundle(tmp_path):
    confidence = published(load_bundle(random_bundle(tmp_path / "sure"))).confidence
    shy = load_bundle(random_bundle(tmp_path / "shy", abstain_below=confidence + 1e-3))
    bold = load_bundle(random_bundle(tmp_path / "bold", abstain_below=confidence - 1e-3))
    assert published(shy).activity == UNKNOWN != published(bold).activity
    assert differences(published(shy), bold) == differences(published(bold), shy) == ["activity"]


def test_a_difference_in_the_last_bits_changes_no_word(model):
    # Two classes that are near equal: which is ahead is up to the batch, and the event decides.
    recorded = published(model)
    (first, most), (second, more) = sorted(recorded.probabilities.items(), key=lambda item: -item[1])[:2]
    swapped = recorded.probabilities | {first: more, second: most}
    activity, confidence = decide(swapped, model.abstain_below)
    event = msgspec.structs.replace(recorded, probabilities=swapped, activity=activity, confidence=confidence)
    assert activity == second
    # These are far apart, so that the probabilities differ, but not the word that belongs to them.
    assert differences(event, model) == ["probabilities"]


def test_the_baseline_in_the_event_is_what_the_model_gets(model):
    recorded = published(model)
    x_mg, y_mg, z_mg = recorded.baseline.accelerometer.mg
    other = Baseline(AccelerometerBaseline("stable", (x_mg + 900, y_mg, z_mg)), recorded.baseline.heart_rate)
    (raw,) = (
        w for w in fold(delivered(UPLOADS, ARRIVALS_MS, [(0, 0, 0)] * 2)).windows if w.window_start_ms == START_MS
    )
    mask = {name: signal.passes for name, signal in raw.signals.items()}

    def event(baseline_mg: tuple[int, int, int]) -> ActivityEvent:
        """One of a user whose history was another; what the network got of it is ``baseline_mg``."""
        (row,) = model.probabilities(window_features([raw], [other]), [mask], [baseline_mg])
        probabilities = dict(zip(model.classes, row.tolist(), strict=True))
        activity, confidence = decide(probabilities, model.abstain_below)
        return msgspec.structs.replace(
            recorded, baseline=other, probabilities=probabilities, activity=activity, confidence=confidence
        )

    assert differences(event(other.accelerometer.mg), model) == []
    assert differences(event(recorded.baseline.accelerometer.mg), model) == ["probabilities"]
