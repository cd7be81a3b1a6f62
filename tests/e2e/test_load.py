"""`gaitway load` against the real pipeline: it finds every window once."""

import json

from tests.e2e.harness import JWT_KEY
from tests.gaitway.cli.command import gaitway


def test_every_window_of_a_fleet_comes_once(start_pipeline, tmp_path):
    # Longer than the 5 s between two uploads, which would close every window in between.
    pipeline = start_pipeline(grace_s=60.0)
    out = tmp_path / "load.json"
    done = gaitway(
        *("load", "--watches", 12, "--minutes", 0.5, "--connections", 4, "--summary", out),
        *("--url", pipeline.url, "--kafka", pipeline.kafka, "--topic-prefix", pipeline.prefix, "--jwt-key", JWT_KEY),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(out.read_text())
    assert (summary["uploads_offered"], summary["uploads_accepted"]) == (72, 72)
    # Six uploads of 5 s fill one or two windows, as the watch's phase has it.
    assert 12 <= summary["expected"] <= 24
    assert (summary["missing"], summary["twice"], summary["unexpected"]) == (0, 0, 0)
    assert summary["event_latency_s"].keys() == {"p50", "p95", "p99"}
