"""What goes in over HTTP comes out as events: exactly the windows of the offline path, each as the contract says."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest

from gaitway.expected import phase_ms
from gaitway.predict.classify import predict
from gaitway.replay import Watch
from shared.contracts import topics
from shared.contracts.labels import HAR7, UNKNOWN
from shared.contracts.modality import MODALITY_NAMES, WINDOW_MS
from shared.contracts.upload import Upload
from shared.model.bundle import load_bundle
from tests.e2e.harness import (
    ABSTAIN_BELOW,
    Event,
    Pipeline,
    as_json,
    assert_once_each,
    expected,
    offline,
)
from training.offline import find_gaps

FIELDS = {
    "user",
    "device",
    "window_start_ms",
    "window_end_ms",
    "utc_offset_min",
    "activity",
    "confidence",
    "label_set",
    "probabilities",
    "movement",
    "nearest",
    "har7",
    "modalities",
    "coverage",
    "baseline",
    "model",
    "hop_ms",
    "source_received_at_ms",
    "published_at_ms",
}
MODEL = "random@0.0.1"


def traceparent(user: str, upload: Upload) -> str:
    return f"00-{int.from_bytes(user.encode()[-8:]):032x}-{upload.seq + 1:016x}-01"


def span_ms(upload: Upload) -> tuple[float, float]:
    parts = [
        (upload.accelerometer, "x"),
        (upload.heart_rate, "bpm"),
        (upload.steps, "total"),
    ]
    spans = [
        (part.t0_ms, part.t0_ms + len(getattr(part, values)) * 1000 / part.rate_hz) for part, values in parts if part
    ]
    return min(begin for begin, _ in spans), max(end for _, end in spans)


def traces_of(watch: Watch, window_start_ms: int) -> set[str]:
    """Those of the uploads with a sample in the window."""
    spans = [(upload, *span_ms(upload)) for upload in watch.uploads]
    return {
        traceparent(watch.name, upload)
        for upload, begin_ms, end_ms in spans
        if begin_ms < window_start_ms + WINDOW_MS and end_ms > window_start_ms
    }


async def send(pipeline: Pipeline, watch: Watch) -> None:
    async with httpx.AsyncClient(base_url=pipeline.url, trust_env=False, timeout=30) as client:
        for upload in watch.uploads:
            headers = {"Authorization": f"Bearer {watch.token}", "traceparent": traceparent(watch.name, upload)}
            answer = await client.post("/v1/uploads", content=msgspec.json.encode(upload), headers=headers)
            assert answer.status_code == 202, answer.text


async def test_events_are_the_windows_of_the_offline_path(
    pipeline: Pipeline, recordings: dict[str, Path], bundle: Path
) -> None:
    watches = [pipeline.watch(path) for path in recordings.values()]
    windows, wanted = offline(watches), expected(recordings, watches)
    assert windows.keys() == wanted
    assert len(wanted) >= 60
    for watch in watches:
        await send(pipeline, watch)
    await pipeline.settle()
    events = await pipeline.events()

    assert_once_each(events, wanted)
    assert 0 < sum(event.data["activity"] == UNKNOWN for event in events) < len(events)
    partition_of = await partitions(pipeline)
    by_name = {watch.name: watch for watch in watches}
    for event in events:
        assert_contract(event)
        assert event.partition == partition_of[event.key]
        assert event.headers["traceparent"] in traces_of(by_name[event.key], event.data["window_start_ms"])
    assert {event.window: signals(event) for event in events} == {
        window: (
            [name for name in MODALITY_NAMES if found.record.mask[name]],
            pytest.approx(found.record.coverage),
            found.record.device,
            found.record.utc_offset_min,
        )
        for window, found in windows.items()
    }
    assert await gaps(pipeline) == {
        (watch.name, gap.modality, gap.start_ms + watch.shift_ms, gap.end_ms + watch.shift_ms, gap.reason)
        for watch in watches
        for gap in find_gaps(watch.recording, user=watch.name)
    }
    # Both paths close the windows of a recording without gaps in the same order; with gaps, a window that waits for
    # the rest of its data closes earlier or later among the others when the replay is faster than life.
    even = [event for event in events if event.key != "garmin-1"]
    truth = {
        (watch.name, p.window.raw.window_start_ms + watch.shift_ms): p
        for watch in watches
        for p in predict([watch.recording], load_bundle(bundle), watch.name)
    }
    for event in even:
        assert event.data["baseline"] == as_json(truth[event.window].window)
        assert list(event.data["probabilities"].values()) == pytest.approx(
            truth[event.window].probabilities.tolist(), abs=1e-5, rel=0
        )
        assert event.data["activity"] == truth[event.window].activity


def signals(event: Event) -> tuple[object, ...]:
    return (
        event.data["modalities"],
        event.data["coverage"],
        event.data["device"],
        event.data["utc_offset_min"],
    )


async def gaps(pipeline: Pipeline) -> set[tuple[str, str, int, int, str]]:
    found = [json.loads(record.value) for record in await pipeline.records(topics.GAPS.name)]
    return {(gap["user"], gap["modality"], gap["start_ms"], gap["end_ms"], gap["reason"]) for gap in found}


def assert_contract(event: Event) -> None:
    """Architecture, section 8, and CloudEvents 1.0 in Kafka's binary mode."""
    headers, data = event.headers, event.data
    assert headers["ce_specversion"] == "1.0"
    assert headers["ce_source"] == "/gaitway/inference"
    assert headers["ce_type"] == "io.gaitway.activity.classified.v1"
    assert headers["content-type"].partition(";")[0] == "application/json"
    assert len(headers["ce_id"]) == 32
    published = datetime.fromtimestamp(data["published_at_ms"] / 1000, UTC)
    assert datetime.fromisoformat(headers["ce_time"]) == published
    assert data.keys() == FIELDS
    assert event.key == data["user"]
    assert data["window_end_ms"] - data["window_start_ms"] == WINDOW_MS
    assert data["window_start_ms"] % data["hop_ms"] == phase_ms(data["user"], data["hop_ms"])
    assert data["label_set"] == "har7"
    assert data["model"] == MODEL
    assert tuple(data["probabilities"]) == HAR7
    assert math.isclose(sum(data["probabilities"].values()), 1, abs_tol=1e-6)
    assert math.isclose(sum(data["movement"].values()), 1, abs_tol=1e-6)
    assert data["confidence"] == max(data["probabilities"].values())
    assert data["probabilities"][data["nearest"]] == data["confidence"]
    assert data["har7"] == {"activity": data["activity"], "confidence": data["confidence"]}
    if data["confidence"] < ABSTAIN_BELOW:
        assert data["activity"] == UNKNOWN
    else:
        assert data["probabilities"][data["activity"]] == data["confidence"]
    assert data["coverage"].keys() == set(MODALITY_NAMES)
    assert data["modalities"][0] == "accelerometer"
    assert data["baseline"].keys() == {"accelerometer", "heart_rate"}
    assert data["source_received_at_ms"] <= data["published_at_ms"]


async def partitions(pipeline: Pipeline) -> dict[str, int]:
    """Per user the one partition that all of the input lies in."""
    found: dict[str, set[int]] = {}
    for record in await pipeline.records(*(spec.name for spec in topics.SAMPLE_TOPICS.values()), topics.WINDOWS.name):
        if record.key is not None:
            found.setdefault(record.key.decode(), set()).add(record.partition)
    assert all(len(numbers) == 1 for numbers in found.values()), found
    return {user: numbers.pop() for user, numbers in found.items()}
