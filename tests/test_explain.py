"""The fold behind `gaitway explain`, without Kafka."""

import numpy as np

from gaitway.explain import Recomputation
from shared.records.event import ActivityEvent
from shared.records.window import AccelerometerBaseline, Baseline, HeartRateBaseline
from tests.core.signals import BASE_MS, DEVICE, HOP_MS, LINGER_MS, delivered, fold, wearer
from tests.features.kafka_log import as_kafka, kafka_record

PERSON, OTHER = wearer(1), wearer(2)
START_MS = BASE_MS + 10_000
TOLD = ActivityEvent(
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


def recomputed(uploads, arrivals_ms, users) -> Recomputation:
    log = delivered(uploads, arrivals_ms, [(0, 0, 0)] * len(uploads), users=users)
    found = Recomputation(TOLD, 3, LINGER_MS)
    for record in log:
        found.deliver(record.topic, [as_kafka(record)])
    for topic in range(3):
        found.deliver(topic, [kafka_record(topic, 10_000, BASE_MS + 10 * LINGER_MS)])
    return found


def test_the_records_that_made_the_window():
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
    assert [found.samples(name) for name in ("accelerometer", "heart_rate", "steps")] == [500, 20, 20]
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


def test_what_comes_after_the_linger_is_no_source():
    uploads = [PERSON.upload(0, 29_200, 1), PERSON.upload(29_200, 40_000, 2)]
    found = recomputed(uploads, [29_200, 29_200 + LINGER_MS], ["u", "u"])
    assert found.window is not None
    assert found.window.closed_by == "linger"
    assert {source.seq for source in found.sources} == {1}


def test_a_window_that_is_a_gap_says_why():
    found = recomputed([PERSON.upload(0, 15_000, 1)], [15_000], ["u"])
    assert found.closed
    assert found.window is None
    assert found.gaps["accelerometer"] == "coverage"
