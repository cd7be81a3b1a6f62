"""Every query of every dashboard, asked of a real Prometheus that scrapes the real services while watches send."""

import asyncio
import itertools
import json
import math
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from deploy.grafana.__main__ import FOLDER
from gaitway.demo.processes import ServiceProcess
from gaitway.embedded.prometheus import PrometheusServer, Sample
from gaitway.paths import DEFAULT_MODEL
from gaitway.replay import make_watch, replay
from shared.contracts import topics
from shared.contracts.token import make_token
from shared.model.bundle import MANIFEST
from shared.model.rollout import RollOut, write_rollout
from tests.debian import program
from tests.e2e.harness import HTTP_S, JWT_KEY, Pipeline, until
from training.datasets import read_recording

RULES = sorted((FOLDER.parents[1] / "prometheus" / "rules").glob("*.yml"))
VARIABLES = {"$__rate_interval": "30s"}
IN_ALL_S = 200.0
"""The canary's first window takes its 20 s, and what is left of the 20 s grid; its rate two scrapes more."""

NOT_ZERO = {
    "Why are uploads refused?",
    "Which uploads break the format?",
    "Which records cannot be processed?",
    "Why are data missing?",
    "How many gaps, of what and why?",
    "What do people do?",
    "What becomes of the canary's windows?",
    "How many windows close, and why?",
    "Which version runs where?",
    "Roll-out: which bundles do the workers run?",
    "Roll-out: what would people do by the shadow?",
}
"""Panels that this test's traffic has something to show on."""


@dataclass(frozen=True)
class Asked:
    """One target of a panel."""

    board: str
    title: str
    expr: str
    legend: str

    def answered(self, samples: list[Sample]) -> bool:
        values = [sample.value for sample in samples if not math.isnan(sample.value)]
        return any(values) if self.title in NOT_ZERO and "refused" not in self.legend else bool(values)


def asked() -> Iterator[Asked]:
    for path in sorted(FOLDER.glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel["targets"]:
                expr = target["expr"]
                for name, value in VARIABLES.items():
                    expr = expr.replace(name, value)
                assert "$" not in expr, f"{expr}: a variable that only Grafana knows"
                yield Asked(board["uid"], panel["title"], expr, target.get("legendFormat", ""))


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The one that knows what to expect of people, and whose answers the canary knows."""
    return DEFAULT_MODEL


async def send(pipeline: Pipeline, recordings: dict[str, Path]) -> None:
    """New users all the time, and in between what nobody should send."""
    people = [read_recording(path) for path in recordings.values()]
    bad = make_token(JWT_KEY, "bad")
    for number in itertools.count():
        now_ms = time.time_ns() // 1_000_000
        watches = [make_watch(p, make_token(JWT_KEY, f"{p.person}-{number}"), now_ms, math.inf) for p in people]
        await replay(watches, pipeline.url, math.inf)
        # A watch that did not hear the answers.
        await replay(watches[-1:], pipeline.url, math.inf)
        async with httpx.AsyncClient(base_url=pipeline.url, trust_env=False, timeout=HTTP_S) as client:
            for token, body in (("none", b"{}"), (bad, b"{"), (bad, b'{"device": "d", "speed": 1}')):
                await client.post("/v1/uploads", content=body, headers={"Authorization": f"Bearer {token}"})
            content = impossible(now_ms)
            answer = await client.post("/v1/uploads", content=content, headers={"Authorization": f"Bearer {bad}"})
            assert answer.status_code == 202, answer.text
        await send_without_host(pipeline)
        await send_junk(pipeline)
        await asyncio.sleep(1)


def impossible(now_ms: int) -> bytes:
    """The last 40 s of a heart that beats 255 times a minute."""
    accelerometer = {"rate_hz": 25, "unit": "mg", "x": [0] * 1_000, "y": [0] * 1_000, "z": [1_000, 1_001] * 500}
    modalities = {"accelerometer": accelerometer, "heart_rate": {"rate_hz": 1, "bpm": [255] * 40}}
    upload = {name: {"t0_ms": now_ms - 40_000} | fields for name, fields in modalities.items()}
    return json.dumps({"device": "d", "session": f"{now_ms}", "seq": 0, "sent_at_ms": now_ms} | upload).encode()


async def send_without_host(pipeline: Pipeline) -> None:
    """What is no HTTP/1.1, and refused before it is a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(pipeline.url).port)
    writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()


async def send_junk(pipeline: Pipeline) -> None:
    """A record past the gateway that no service can read."""
    producer = AIOKafkaProducer(bootstrap_servers=pipeline.kafka)
    await producer.start()
    try:
        topic = pipeline.prefix + topics.SAMPLE_TOPICS["steps"].name
        await producer.send_and_wait(topic, key=b"bad", value=b"junk", partition=0)
    finally:
        await producer.stop()


def write_rollout_with_shadow(folder: Path) -> Path:
    """Of the default model and, as its shadow, the same under another version: it has a reference for the drift."""
    shadow = shutil.copytree(DEFAULT_MODEL, folder / "shadow")
    manifest = json.loads((shadow / MANIFEST).read_text())
    (shadow / MANIFEST).write_text(json.dumps(manifest | {"version": "9.0.0"}))
    write_rollout(folder / "rollout.json", RollOut(str(DEFAULT_MODEL), "shadow"))
    return folder / "rollout.json"


@pytest.mark.timeout(IN_ALL_S + 90)
async def test_every_query_of_every_dashboard_has_an_answer(
    start_pipeline: Callable[..., Pipeline], recordings: dict[str, Path], tmp_path: Path
) -> None:
    program("prometheus", package="prometheus")
    # The canary sends every 5 s, as in life: a window must wait for longer.
    pipeline = start_pipeline(grace_s=8, rollout=write_rollout_with_shadow(tmp_path))
    canary = ServiceProcess(
        "canary",
        {
            "gateway": pipeline.url,
            "kafka": pipeline.kafka,
            "topic_prefix": pipeline.prefix,
            "jwt_key": JWT_KEY,
            "late_after_s": 20,
        },
        data_dir=tmp_path / "canary",
    )
    services = pipeline.services | {"canary": canary}
    targets = {name: [service.url.removeprefix("http://")] for name, service in services.items()}
    with canary, PrometheusServer(targets, RULES, tmp_path / "prometheus") as prometheus:
        sending = asyncio.create_task(send(pipeline, recordings))
        waiting = list(asked())
        assert len(waiting) > 80
        labels: dict[Asked, set[str]] = {}

        async def all_answered() -> bool:
            assert not sending.done(), sending.exception()
            for query in waiting[:]:
                samples = await asyncio.to_thread(prometheus.query, query.expr)
                if query.answered(samples):
                    labels[query] = set.intersection(*(set(sample.labels) for sample in samples))
                    waiting.remove(query)
            return not waiting

        try:
            await until(all_answered, "every query to have an answer", IN_ALL_S, pause_s=1)
        except TimeoutError:
            pytest.fail("\n".join(f"{q.board}, {q.title}\n    {q.expr}" for q in waiting))
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
        assert {q for q in labels if not set(re.findall(r"{{(\w+)}}", q.legend)) <= labels[q]} == set()
        assert_rules_are_evaluated(prometheus.url)


def assert_rules_are_evaluated(url: str) -> None:
    """promtool sees a wrong join of real series as little as a rule that takes too long."""
    groups = httpx.get(f"{url}/api/v1/rules", trust_env=False, timeout=HTTP_S).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 20
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
