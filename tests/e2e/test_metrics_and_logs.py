"""What an operator sees of three real services: every metric of the catalogue, and one trace in all of their logs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gaitway.demo import processes
from gaitway.replay import replay
from shared.contracts import topics
from shared.runtime.metrics import CATALOGUE, SERVICES, STAGES
from tests.e2e.harness import HTTP_S, Event, Pipeline, until


async def samples(pipeline: Pipeline, service: str) -> dict[str, list[Any]]:
    """What a scrape gives, by the catalogue's names."""
    async with httpx.AsyncClient(trust_env=False, timeout=HTTP_S) as client:
        page = (await client.get(f"{pipeline.services[service].url}/metrics")).text
    found: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(page):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = family.samples
    return found


def log_lines(pipeline: Pipeline, service: str) -> list[dict[str, Any]]:
    """Every line is JSON: what does not parse fails the test."""
    return [json.loads(line) for line in pipeline.services[service].log_path.read_text().splitlines()]


async def test_a_scrape_has_every_metric_and_a_trace_leads_through_everything(
    start_pipeline: Callable[..., Pipeline], even: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for service in ("features", "inference"):
        monkeypatch.setitem(processes._READY, service, '"partitions 0')
    pipeline = start_pipeline(log_format="json", log_level="DEBUG")
    watches = [pipeline.watch(path) for path in even.values()]
    await replay(watches, pipeline.url, float("inf"))
    answer = await refused(pipeline, watches[0].token)
    await pipeline.settle()
    events = await pipeline.events()
    assert events

    await every_metric_has_a_sample(pipeline)
    await lag_is_reported_for_each_partition(pipeline)
    await one_trace_from_upload_to_event(pipeline, events)

    assert answer.status_code == 422
    (line,) = [line for line in log_lines(pipeline, "ingest") if line["message"].startswith("422")]
    assert line["trace_id"] == answer.headers["traceresponse"].split("-")[1]
    assert (line["service"], line["level"], line["logger"]) == ("ingest", "INFO", "gaitway.ingest.uploads")


async def refused(pipeline: Pipeline, token: str) -> httpx.Response:
    """The answer to an upload of nothing."""
    async with httpx.AsyncClient(
        trust_env=False, timeout=HTTP_S, headers={"Authorization": f"Bearer {token}"}
    ) as client:
        return await client.post(f"{pipeline.url}/v1/uploads", json={})


async def every_metric_has_a_sample(pipeline: Pipeline) -> None:
    stages: dict[str, float] = {}
    for service in SERVICES:
        found = await samples(pipeline, service)
        own = {entry.name for entry in CATALOGUE if service in entry.services}
        # No shadow runs here, as in test_dashboards: its events have no model to name.
        silent = {"gaitway_inference_shadow_events_total"} & own
        assert {name for name in own if not found.get(name)} == silent, service
        assert {name for name in found if name.startswith("gaitway")} == own
        for sample in found["gaitway_event_latency_seconds"]:
            if sample.name.endswith("_count"):
                stages[sample.labels["stage"]] = stages.get(sample.labels["stage"], 0) + sample.value
        (loop_lag,) = [s for s in found["gaitway_event_loop_lag_seconds"] if s.name.endswith("_count")]
        assert loop_lag.value > 0
        assert all(sample.value == 1 for sample in found["gaitway_dependency_up"])
        (build,) = found["gaitway_build_info"]
        assert build.labels["service"] == service
    assert set(stages) == set(STAGES)
    assert all(stages.values()), stages


async def lag_is_reported_for_each_partition(pipeline: Pipeline) -> None:
    wanted = {
        "features": {(spec.name, str(p)) for spec in topics.SAMPLE_TOPICS.values() for p in range(4)},
        "inference": {(topics.WINDOWS.name, str(p)) for p in range(4)},
    }
    for service, partitions in wanted.items():
        for name in ("consumer_lag_records", "consumer_lag_seconds", "partition_progress_age_seconds"):
            found = (await samples(pipeline, service))[f"gaitway_{name}"]
            assert {(s.labels["topic"], s.labels["partition"]) for s in found} == partitions

    async def caught_up() -> bool:
        found = await samples(pipeline, "inference")
        return not any(s.value for s in found["gaitway_consumer_lag_records"] + found["gaitway_consumer_lag_seconds"])

    await until(caught_up, "inference to say that nothing is left")


async def one_trace_from_upload_to_event(pipeline: Pipeline, events: list[Event]) -> None:
    """Of a window's last upload: the headers of its records, of the window and the event, and the lines about them."""
    trace_id = events[-1].headers["traceparent"].split("-")[1]
    (upload,) = [line for line in log_lines(pipeline, "ingest") if line.get("trace_id") == trace_id]
    assert upload["message"].endswith("samples accepted")
    for name in (*(spec.name for spec in topics.SAMPLE_TOPICS.values()), topics.WINDOWS.name):
        headers = [dict(r.headers).get("traceparent", b"").decode() for r in await pipeline.records(name)]
        assert any(trace_id in traceparent for traceparent in headers) or name == "watch.heart_rate", name
    starts = {e.data["window_start_ms"] for e in events if trace_id in e.headers["traceparent"]}
    for service, word in (("features", "window of"), ("inference", "event of")):
        lines = [line for line in log_lines(pipeline, service) if line.get("trace_id") == trace_id]
        assert {line["message"].split(",")[0].split(":")[0] for line in lines} == {f"{word} {s}" for s in starts}
        assert {line["service"] for line in lines} == {service}
