"""`gaitway load` against the real pipeline: it finds every window once, and says so when it does not."""

import asyncio
import json
from contextlib import suppress

from gaitway.load.check import EventCheck
from gaitway.load.fleet import Fleet
from tests.e2e.harness import JWT_KEY, Pipeline
from tests.gaitway.cli.command import gaitway


def test_every_window_of_a_fleet_comes_once(start_pipeline, tmp_path):
    # Longer than the 5 s between two uploads, which would close every window in between.
    pipeline = start_pipeline(grace_s=60.0)
    out = tmp_path / "load.json"
    done = gaitway(
        *("load", "--watches", 12, "--minutes", 0.7, "--connections", 4, "--summary", out),
        *("--url", pipeline.url, "--kafka", pipeline.kafka, "--topic-prefix", pipeline.prefix, "--jwt-key", JWT_KEY),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(out.read_text())
    assert (summary["uploads_offered"], summary["uploads_accepted"]) == (96, 96)
    # Eight uploads of 5 s fill two or three windows, as the watch's phase has it.
    assert 24 <= summary["expected"] <= 36
    assert (summary["missing"], summary["twice"], summary["unexpected"]) == (0, 0, 0)
    assert summary["event_latency_s"].keys() == {"p50", "p95", "p99"}


def test_a_gateway_that_is_not_there():
    done = gaitway("load", "--url", "http://127.0.0.1:1", "--jwt-key", JWT_KEY, "--watches", 2)
    assert done.returncode != 0
    assert "http://127.0.0.1:1 does not answer" in done.stderr


async def test_what_belongs_to_others_is_not_counted(pipeline: Pipeline):
    check = EventCheck(Fleet(["nobody"], [b""], [b""], 0), pipeline.kafka, pipeline.prefix)
    ready = asyncio.Event()
    reading = asyncio.create_task(check.run(ready))
    await asyncio.wait_for(ready.wait(), 60)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    assert check.seen.events == 0
