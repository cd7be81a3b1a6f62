import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.inference.classifier import Classifier
from services.inference.drift import MIN_EVENTS
from services.inference.ledger import Ledger
from services.inference.processor import Processor
from services.inference.producer import TransactionBatch
from shared.contracts.errors import BundleError, LostOwnership, Stop
from shared.contracts.labels import HAR7, HAR10, OTHER, UNKNOWN
from shared.contracts.modality import MODALITIES, MODALITY_NAMES
from shared.contracts.window import WindowRecord
from shared.kafka.dead_letters import DeadLetterLimit
from shared.model.bundle import load_bundle
from shared.model.manifest import Reference
from shared.runtime.metrics import RECORD_FAULTS
from tests.bundles import random_bundle
from tests.services.inference.windows import TRACE, altered, baseline, kafka_window, window
from tests.shared.windows.signals import BASE_MS

NOW_MS = BASE_MS + 60_000


@dataclass
class MemoryWriter:
    """A partition's writer that commits into memory, or fails when it is told to."""

    ledger: Ledger
    committed: list[TransactionBatch] = field(default_factory=list)
    slow_s: float = 0.0
    fenced: bool = False

    async def write(self, out: TransactionBatch) -> None:
        await asyncio.sleep(self.slow_s)
        if self.fenced:
            self.ledger.discard()
            raise LostOwnership("fenced")
        self.ledger.committed()
        self.committed.append(out)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(value) for out in self.committed for _, _, value in out.events]

    @property
    def rejected(self) -> list[tuple[bytes | None, dict[str, bytes], bytes | None]]:
        return [(key, dict(headers), value) for out in self.committed for key, headers, value in out.rejected]


class NanClassifier(Classifier):
    """Gives no finite probability for the windows that start at ``bad_ms``."""

    bad_ms: frozenset[int] = frozenset()

    async def _run(self, windows: Sequence[WindowRecord]) -> np.ndarray:
        probabilities = await super()._run(windows)
        probabilities[[w.window_start_ms in self.bad_ms for w in windows]] = np.nan
        return probabilities


class FailingClassifier(Classifier):
    """Whose model raises at the windows that start at ``bad_ms``, and at all of them when it is ``broken``."""

    bad_ms: frozenset[int] = frozenset()
    broken = False

    async def _run(self, windows: Sequence[WindowRecord]) -> np.ndarray:
        if self.broken or any(window.window_start_ms in self.bad_ms for window in windows):
            raise RuntimeError("shapes do not match")
        return await super()._run(windows)

    def _try_out(self) -> None:
        if self.broken:
            raise BundleError("the model fails on a window of zeros")
        super()._try_out()


class Worker:
    def __init__(self, classifier: Classifier, partitions: int = 1, share: DeadLetterLimit | None = None) -> None:
        self.processor = Processor(classifier, lambda: NOW_MS, share or DeadLetterLimit(1.0, 1))
        self.producers = [MemoryWriter(Ledger(classifier.name.name_version)) for _ in range(partitions)]
        self.processor.producers = dict(enumerate(self.producers))

    async def process(self, *records: Any) -> MemoryWriter:
        batch: dict[int, list[Any]] = {}
        for record in records:
            batch.setdefault(record.partition, []).append(record)
        await self.processor.process(batch)
        return self.producers[0]


async def test_one_event_per_window_with_the_models_probabilities(classifier, bundle):
    windows = [
        window(
            i, mask=dict.fromkeys(MODALITY_NAMES, True) | {"steps": i % 2 == 0}, baseline=baseline(300 * i, -33, 980)
        )
        for i in range(5)
    ]
    writer = await Worker(classifier).process(*(kafka_window(7 + i, w.encode()) for i, w in enumerate(windows)))
    expected = load_bundle(bundle).probabilities(
        [w.features for w in windows],
        [w.mask for w in windows],
        [w.baseline.accelerometer.mg for w in windows],
    )
    assert [e["window_start_ms"] for e in writer.events] == [w.window_start_ms for w in windows]
    for event, row in zip(writer.events, expected, strict=True):
        assert list(event["probabilities"].values()) == pytest.approx(row, abs=1e-6)
        assert event["published_at_ms"] == NOW_MS
    assert [out.next_offset for out in writer.committed] == [12]
    assert {dict(headers)["traceparent"] for _, headers, _ in writer.committed[0].events} == {TRACE.encode()}
    assert {key for key, _, _ in writer.committed[0].events} == {b"u1"}


def value_of(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


STAGES = {"window_to_event": 60.0, "gateway_to_event": 38.9, "device_to_event": 40.0}
"""NOW_MS is 60 s after the record of window 0, which ends at 20 s and whose last sample came in at 21.1 s."""


async def test_events_are_measured_by_stage_mask_and_model(classifier):
    def latencies() -> dict[str, float]:
        return {stage: value_of("gaitway_event_latency_seconds_sum", stage=stage) for stage in STAGES}

    def events() -> float:
        labels = {"modalities": "accelerometer+steps", "model": "random@0.0.1"}
        return sum(value_of("gaitway_inference_events_total", activity=a, **labels) for a in (*HAR7, UNKNOWN))

    latency_before, events_before = latencies(), events()
    confident = value_of("gaitway_inference_confidence_ratio_count")
    masked = window(0, mask=dict.fromkeys(MODALITY_NAMES, True) | {"heart_rate": False})
    await Worker(classifier).process(kafka_window(0, masked.encode()))
    assert {s: latencies()[s] - latency_before[s] for s in STAGES} == pytest.approx(STAGES)
    assert events() == events_before + 1
    assert value_of("gaitway_inference_confidence_ratio_count") == confident + 1


async def test_a_window_of_nothing_that_was_learnt_has_an_event_that_says_unknown(tmp_path):
    classes = (*HAR10, OTHER)
    folder = random_bundle(tmp_path, version="0.0.9", seed=10, label_set="har10", classes=classes)
    worker = Worker(Classifier(folder, threads=1))
    records = [kafka_window(i, window(i, baseline=baseline(300 * i, 200 * i, 0)).encode()) for i in range(60)]
    events = (await worker.process(*records)).events
    top = [max(event["probabilities"], key=event["probabilities"].__getitem__) for event in events]
    assert 0 < top.count(OTHER) < len(events)
    for event, best in zip(events, top, strict=True):
        assert tuple(event["probabilities"]) == classes
        assert event["activity"] == (UNKNOWN if best == OTHER else best)
        assert event["confidence"] == event["probabilities"][best]
        assert event["nearest"] in HAR10
        assert sum(event["movement"].values()) == pytest.approx(1.0)
    labels = {"modalities": "accelerometer+heart_rate+steps", "model": "random@0.0.9"}
    assert value_of("gaitway_inference_events_total", activity=UNKNOWN, **labels) == top.count(OTHER)


async def test_a_watch_that_is_ahead_tells_nothing_of_the_way(classifier):
    before = value_of("gaitway_event_latency_seconds_count", stage="device_to_event")
    await Worker(classifier).process(kafka_window(0, window(6).encode()))  # ends 20 s after NOW_MS
    assert value_of("gaitway_event_latency_seconds_count", stage="device_to_event") == before


async def test_drift_is_that_of_the_published_events(tmp_path):
    records = [kafka_window(i, window(i, baseline=baseline(300 * i, 0, 0)).encode()) for i in range(MIN_EVENTS)]
    bare = Classifier(random_bundle(tmp_path / "bare"), threads=1)
    events = (await Worker(bare).process(*records)).events
    assert math.isnan(value_of("gaitway_inference_class_drift_psi"))
    counts = Counter(event["activity"] for event in events)
    reference = Reference(
        "these windows",
        {name: counts[name] / MIN_EVENTS for name in (*HAR7, UNKNOWN)},
        tuple(np.quantile([event["confidence"] for event in events], np.arange(1, 10) / 10).tolist()),
        (0.1,) * 10,
    )
    known = Classifier(random_bundle(tmp_path / "known", reference=reference), threads=1)
    worker = Worker(known)
    await worker.process(*records[:-1])
    assert math.isnan(value_of("gaitway_inference_class_drift_psi"))
    await worker.process(records[-1])
    assert value_of("gaitway_inference_class_drift_psi") == pytest.approx(0, abs=1e-3)
    assert value_of("gaitway_inference_confidence_drift_psi") == pytest.approx(0, abs=1e-2)
    for each in (bare, known):
        each.close()


async def test_a_window_that_the_bundle_is_not_sure_of_is_unknown(classifier, tmp_path):
    records = [kafka_window(i, window(i, baseline=baseline(300 * i, 0, 0)).encode()) for i in range(12)]
    sure = (await Worker(classifier).process(*records)).events
    threshold = float(np.median([event["confidence"] for event in sure]))
    shy = Classifier(random_bundle(tmp_path / "shy", abstain_below=threshold), threads=1)
    told = (await Worker(shy).process(*records)).events
    shy.close()
    kept = [event["confidence"] >= threshold for event in told]
    assert 0 < sum(kept) < 12
    assert [event["activity"] for event in told] == [
        e["activity"] if answered else UNKNOWN for e, answered in zip(sure, kept, strict=True)
    ]
    for name in ("probabilities", "confidence", "movement"):
        assert [event[name] for event in told] == [event[name] for event in sure]


async def test_repeats_are_dropped_within_a_batch_and_across(classifier):
    worker = Worker(classifier)
    once, again = window(0).encode(), window(0, utc_offset_min=None).encode()
    writer = await worker.process(kafka_window(0, once), kafka_window(1, again), kafka_window(2, window(1).encode()))
    assert [e["window_start_ms"] - BASE_MS for e in writer.events] == [0, 10_000]
    assert writer.events[0]["utc_offset_min"] == 60
    await worker.process(kafka_window(3, once), kafka_window(4, window(2).encode()))
    await worker.process(kafka_window(5, once))
    assert [e["window_start_ms"] - BASE_MS for e in writer.events] == [0, 10_000, 20_000]
    # A batch of repeats alone still moves the input on.
    assert [out.next_offset for out in writer.committed] == [3, 5, 6]


async def test_a_transaction_that_did_not_hold_has_published_nothing(classifier):
    worker = Worker(classifier)
    worker.producers[0].fenced = True
    with pytest.raises(LostOwnership):
        await worker.process(kafka_window(0, window(0).encode()))
    worker.producers[0].fenced = False
    writer = await worker.process(kafka_window(0, window(0).encode()))
    assert len(writer.events) == 1


async def test_every_partitions_transaction_has_ended_when_one_fails(classifier):
    worker = Worker(classifier, partitions=2)
    worker.producers[0].fenced, worker.producers[1].slow_s = True, 0.1
    with pytest.raises(LostOwnership):
        await worker.process(*(kafka_window(0, window(0).encode(), b"u%d" % p, partition=p) for p in (0, 1)))
    assert len(worker.producers[1].committed) == 1


GOOD = window(0).encode()
NAN = np.full(MODALITIES[0].feature_shape, np.nan, dtype="<f2").tobytes()
POISON = {
    "nothing": (b"u1", None, "truncated"),
    "not MessagePack": (b"u1", b"\xc1", "malformed"),
    "nesting": (b"u1", b"\x81\xa1z" + b"\x91" * 100_000, "recursion"),
    "text that is not UTF-8": (b"u1", GOOD.replace(b"\xa5watch", b"\xa5w\xfftch"), "utf-8"),
    "another version": (b"u1", altered(GOOD, v=7), "version 7"),
    "features of another version": (b"u1", altered(GOOD, feature_version=9), "feature version 9, the model needs 1"),
    "an array of another size": (b"u1", altered(GOOD, steps=b"\0\0"), "steps has 2 bytes"),
    "NaN": (b"u1", altered(GOOD, accelerometer=NAN), "finite"),
    "a hop of nothing": (b"u1", altered(GOOD, hop_ms=0), "grid"),
    "off the grid": (b"u1", altered(GOOD, window_start_ms=BASE_MS + 1), "grid"),
    # u1 has the phase 2 s.
    "off the user's grid": (b"u1", altered(GOOD, window_start_ms=BASE_MS + 3_000), "grid"),
    "a mask without steps": (b"u1", altered(GOOD, mask={"accelerometer": True, "heart_rate": True}), "mask"),
    "a coverage that is no number": (
        b"u1",
        altered(GOOD, coverage=dict.fromkeys(MODALITY_NAMES, float("nan"))),
        "coverage",
    ),
    "no user": (None, GOOD, "key"),
    "neither key nor value": (None, None, "key"),
    "a user that is not UTF-8": (b"\xff", GOOD, "UTF-8"),
    "a user of a megabyte": (b"u" * 2**20, GOOD, "1048576"),
}


FAULTS = {
    "another version": "version",
    "features of another version": "feature_version",
    "no user": "key",
    "neither key nor value": "key",
    "a user that is not UTF-8": "key",
    "a user of a megabyte": "key",
}


def rejected(fault: str) -> float:
    return value_of("gaitway_rejected_records_total", service="inference", reason=fault)


@pytest.mark.parametrize("name", POISON)
async def test_poison_is_counted_by_its_fault_and_logged_with_its_trace(classifier, caplog, name):
    key, value, _ = POISON[name]
    before = {fault: rejected(fault) for fault in RECORD_FAULTS}
    await Worker(classifier).process(kafka_window(41, value, key))
    rise = {fault: rejected(fault) - count for fault, count in before.items()}
    assert {fault for fault, count in rise.items() if count} == {FAULTS.get(name, "unreadable")}
    assert [record.trace_id for record in caplog.records if record.name == "gaitway.inference"] == [TRACE.split("-")[1]]


@pytest.mark.parametrize(("key", "value", "reason"), POISON.values(), ids=POISON)
async def test_poison_goes_out_as_it_came_with_the_reason(classifier, key, value, reason):
    worker = Worker(classifier)
    writer = await worker.process(
        kafka_window(40, window(1).encode()), kafka_window(41, value, key), kafka_window(42, window(2).encode())
    )
    assert len(writer.events) == 2
    [(rejected_key, headers, rejected_value)] = writer.rejected
    assert (rejected_key, rejected_value or None) == (key, value or None)
    assert rejected_key is not None or rejected_value is not None  # aiokafka's producer refuses that
    assert reason in headers.pop("reason").decode()
    assert headers == {
        "service": b"inference",
        "origin_topic": b"activity.windows",
        "origin_partition": b"0",
        "origin_offset": b"41",
    }
    assert writer.committed[-1].next_offset == 43
    # It stands in nobody's way.
    await worker.process(kafka_window(43, GOOD))
    assert len(writer.events) == 3


async def test_no_finite_probability_is_rejected_and_takes_no_slot(bundle):
    classifier = NanClassifier(bundle, threads=1)
    classifier.bad_ms = frozenset({BASE_MS + 10_000})
    worker = Worker(classifier)
    writer = await worker.process(*(kafka_window(i, window(i).encode()) for i in range(3)))
    assert [e["window_start_ms"] - BASE_MS for e in writer.events] == [0, 20_000]
    [(_, headers, value)] = writer.rejected
    assert b"finite" in headers["reason"]
    assert value == window(1).encode()
    classifier.bad_ms = frozenset()
    await worker.process(*(kafka_window(i, window(i).encode()) for i in range(3)))
    assert [e["window_start_ms"] - BASE_MS for e in writer.events] == [0, 20_000, 10_000]
    classifier.close()


async def test_a_window_on_which_the_model_fails_is_rejected_and_the_others_have_their_events(bundle):
    classifier = FailingClassifier(bundle, threads=1)
    classifier.bad_ms = frozenset({BASE_MS + 10_000})
    worker = Worker(classifier)
    writer = await worker.process(*(kafka_window(i, window(i).encode()) for i in range(3)))
    assert [e["window_start_ms"] - BASE_MS for e in writer.events] == [0, 20_000]
    [(_, headers, value)] = writer.rejected
    assert b"shapes do not match" in headers["reason"]
    assert value == window(1).encode()
    assert writer.committed[-1].next_offset == 3
    classifier.bad_ms = frozenset()
    await worker.process(*(kafka_window(i, window(i).encode()) for i in range(3)))
    assert [e["window_start_ms"] - BASE_MS for e in writer.events] == [0, 20_000, 10_000]
    classifier.close()


async def test_a_model_that_fails_on_everything_stops_the_service_and_rejects_nothing(bundle):
    classifier = FailingClassifier(bundle, threads=1)
    classifier.broken = True
    worker = Worker(classifier)
    with pytest.raises(Stop, match="window of zeros"):
        await worker.process(*(kafka_window(i, window(i).encode()) for i in range(3)))
    assert worker.producers[0].committed == []
    with pytest.raises(BundleError):
        type("Broken", (FailingClassifier,), {"broken": True})(bundle, threads=1)
    classifier.close()


@pytest.mark.parametrize("headers", [[], [("traceparent", None)], [("traceparent", b"\xff")]])
async def test_the_trace_context_never_harms(classifier, headers):
    writer = await Worker(classifier).process(kafka_window(0, GOOD, b"u1", headers))
    assert "traceparent" not in dict(writer.committed[0].events[0][1])


async def test_a_window_of_the_far_future_is_rejected_and_makes_nothing_forgotten(classifier):
    worker = Worker(classifier)
    far = altered(window().encode(), window_start_ms=BASE_MS + 10 * 365 * 86_400_000 // 20_000 * 20_000)
    writer = await worker.process(kafka_window(0, window(0).encode()), kafka_window(1, far))
    assert len(writer.events) == len(writer.rejected) == 1
    assert b"too far ahead of" in writer.rejected[0][1]["reason"]
    await worker.process(kafka_window(2, window(0).encode()))
    assert len(writer.events) == 1


async def test_too_much_rejected_stops_once_the_transaction_holds(classifier):
    worker = Worker(classifier, share=DeadLetterLimit(0.5, min_records=4))
    await worker.process(kafka_window(0, window(0).encode()), kafka_window(1, b"\xc1"))
    with pytest.raises(Stop, match="75% of the last 4 records were rejected"):
        await worker.process(kafka_window(2, b"\xc1"), kafka_window(3, b"\xc1"))
    writer = worker.producers[0]
    assert (len(writer.events), len(writer.rejected)) == (1, 3)
    assert writer.committed[-1].next_offset == 4
