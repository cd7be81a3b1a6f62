"""`gaitway explain`: an event is what the log gives, or it is said that it is not."""

import asyncio
import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from gaitway.errors import CommandError
from gaitway.explain.report import Explanation
from gaitway.explain.run import explain
from gaitway.replay import replay
from shared.contracts import topics
from shared.contracts.labels import HAR7, UNKNOWN
from shared.model.bundle import load_bundle
from tests.e2e.harness import Event, Pipeline
from tests.gaitway.cli.command import gaitway_here
from tests.integration.kafka_io import producer

GRACE_S = 5.0
ANOTHER_MODEL = Path(__file__).parents[2] / "models" / "gaitway-cnn"


async def command(pipeline: Pipeline, bundle: Path, event_id: str, *options: str) -> CompletedProcess[str]:
    """In a thread, for it runs an event loop of its own."""
    arguments = ["--kafka", pipeline.kafka, "--topic-prefix", pipeline.prefix, "--model", bundle, "--grace-s", GRACE_S]
    return await asyncio.to_thread(gaitway_here, "explain", event_id, *arguments, *options)


async def put(pipeline: Pipeline, event: Event, event_id: str, **changes: Any) -> None:
    """An event made by hand: another one's data with changes."""
    headers = {**event.headers, "ce_id": event_id}
    async with producer(pipeline.kafka) as anybody:
        await anybody.send_and_wait(
            pipeline.prefix + topics.EVENTS.name,
            json.dumps(event.data | changes).encode(),
            key=event.key.encode(),
            partition=event.partition,
            headers=[(name, value.encode()) for name, value in headers.items()],
        )


async def test_explain_finds_equal_what_the_log_gives_and_names_every_difference(
    pipeline: Pipeline, recordings: dict[str, Path], bundle: Path
) -> None:
    watches = [pipeline.watch(path) for path in recordings.values()]
    await replay(watches, pipeline.url, float("inf"))
    await pipeline.settle()
    events = await pipeline.events()
    model = load_bundle(bundle)

    async def explained(event_id: str, hours: float | None = None) -> Explanation:
        return await explain(pipeline.kafka, pipeline.prefix, event_id, model, grace_s=GRACE_S, hours=hours)

    # Of each person, the last event of those with the fewest modalities: the Garmin log has windows that lack some.
    poorest = {e.key: e for e in sorted(events, key=lambda e: (-len(e.data["modalities"]), e.offset))}
    assert poorest.keys() == recordings.keys()
    for event in poorest.values():
        found = await explained(event.headers["ce_id"])
        assert found.equal, found.verdict
        assert (found.event.partition, found.event.offset) == (event.partition, event.offset)
        assert found.whole_log
        assert found.baseline == found.recorded.baseline
        assert [name for name, use in found.modalities.items() if use.masked is None] == event.data["modalities"]
        assert found.modalities["accelerometer"].samples == sum(
            source.samples for source in found.sources if source.topic == "watch.accelerometer"
        )

    event = poorest["e4-S03"]
    done = await command(pipeline, bundle, event.headers["ce_id"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("equal; largest difference of a probability ")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "…" not in done.stdout

    # The watch.* records of the window, as the topics hold them.
    as_json = json.loads((await command(pipeline, bundle, event.headers["ce_id"], "--json")).stdout)
    assert as_json["equal"]
    held = {
        (r.topic, r.partition, r.offset): r
        for r in await pipeline.records(*(s.name for s in topics.SAMPLE_TOPICS.values()))
    }
    for source in as_json["sources"]:
        record = held[pipeline.prefix + source["topic"], source["partition"], source["offset"]]
        assert (record.key.decode(), record.timestamp) == (event.key, source["log_ms"])

    # Of those that say a class and of those that say "unknown" one each; another word is found in both.
    unknown = {e.data["activity"] == UNKNOWN: e for e in events}
    assert unknown.keys() == {True, False}
    for number, recorded in enumerate(unknown.values()):
        assert (await explained(recorded.headers["ce_id"])).equal
        word = HAR7[0] if recorded.data["activity"] == UNKNOWN else UNKNOWN
        await put(pipeline, recorded, f"word-{number}", activity=word)
        assert (await explained(f"word-{number}")).differences == ["activity"]

    altered = dict(event.data["probabilities"])
    altered[max(altered, key=altered.__getitem__)] += 1e-3
    await put(pipeline, event, "altered", probabilities=altered, confidence=max(altered.values()))
    done = await command(pipeline, bundle, "altered")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "differs (probabilities); largest difference of a probability 1.0e-03"

    await put(pipeline, event, "richer", coverage=event.data["coverage"] | {"steps": 0.5}, source_received_at_ms=0)
    assert (await explained("richer")).differences == ["coverage", "receipt of the last sample"]

    done = await command(pipeline, bundle, "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"gaitway: Kafka at {pipeline.kafka} has no event nobody\n"
    done = await command(pipeline, ANOTHER_MODEL, event.headers["ce_id"])
    assert done.returncode == 1
    assert "was made by random@0.0.1, the bundle is gaitway-cnn@" in done.stderr

    # A log that begins too late gives another window, or none; it never passes for equal.
    with pytest.raises(CommandError, match="was not read from its first record"):
        await explained(event.headers["ce_id"], hours=0)
    await put(pipeline, event, "strange", window_start_ms="now")
    with pytest.raises(CommandError, match=r"strange is not one of Gaitway's: .*window_start_ms"):
        await explained("strange")
