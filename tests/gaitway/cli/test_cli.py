"""The command line as its user meets it: help, failures in one line, what it prints and what it leaves behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from redis import Redis

from tests.bundles import random_bundle
from tests.gaitway.cli.command import KEY, NOBODY, environment, failure, gaitway, gaitway_here
from tests.recordings import EXAMPLES, cut, wrist

COMMANDS = ["", "serve", "serve ingest", "serve features", "serve inference", "demo", "replay", "predict", "events"]
COMMANDS += ["explain", "broker", "token", "datasets", "datasets inspect", "train", "experiment", "report", "ablation"]
COMMANDS += ["tree-baseline", "monitor", "canary", "settings", "bundle", "bundle verify", "rollout"]
COMMANDS += [f"rollout {name}" for name in ("create", "status", "shadow", "promote", "rollback")]
GONE_S = 60.0


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_bundle(tmp_path_factory.mktemp("model") / "random")


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    cut("e4-S03", folder, to_s=88)
    cut("wisdm-1600", folder, to_s=95)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_is_printed(command: str) -> None:
    done = gaitway_here(*command.split(), "--help")
    assert done.returncode == 0
    assert f"gaitway {command}".strip() in done.stdout
    assert not done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--broker", NOBODY], f"Kafka at {NOBODY} does not answer"),
        (["--redis", f"redis://{NOBODY}/0"], f"Redis at redis://{NOBODY}/0 does not answer"),
        (["--recordings", "/nowhere"], "/nowhere: no such file or directory"),
        (["--model", "/nowhere"], "/nowhere"),
        (["--speed", "-1"], "'-1' is neither a positive number nor max"),
    ],
    ids=["broker", "redis", "recordings", "model", "speed"],
)
def test_demo_that_cannot_start(arguments: list[str], says: str, bundle: Path, recordings: Path) -> None:
    # What is given last wins.
    done = gaitway_here("demo", "--model", bundle, "--recordings", recordings, *arguments)
    assert says in failure(done)
    assert len(done.stderr.splitlines()) == 1


def test_ingest_needs_a_key() -> None:
    assert failure(gaitway_here("serve", "ingest")) == "GAITWAY_JWT_KEY: Field required"


def test_ingest_on_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = gaitway("serve", "ingest", port=port, jwt_key=KEY, kafka=NOBODY)
    assert f"127.0.0.1:{port}" in failure(done)


@pytest.mark.parametrize("service", ["features", "inference"])
def test_health_page_on_a_taken_port(service: str, bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = gaitway("serve", service, health_port=port, kafka=NOBODY, model=bundle)
    assert f"127.0.0.1:{port}" in failure(done)


def test_a_setting_that_is_wrong_is_named() -> None:
    assert "GAITWAY_HOP_MS" in failure(gaitway_here("serve", "features", hop_ms=15_000))


def test_inference_refuses_a_broken_bundle(bundle: Path, tmp_path: Path) -> None:
    for file in bundle.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = next(tmp_path.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-4])
    assert str(weights) in failure(gaitway("serve", "inference", model=tmp_path, kafka=NOBODY))


@pytest.mark.parametrize(
    ("dataset", "people", "says"),
    [
        ("motion=/tmp", None, "expected KIND=DIR with KIND one of recordings, wisdm, e4"),
        ("recordings", None, "expected KIND=DIR"),
        ("recordings=/nowhere", None, "/nowhere: no such file or directory"),
        (f"recordings={EXAMPLES}", "nobody", "no person 'nobody' here, known are dsads-p1, "),
    ],
)
def test_predict_without_data(dataset: str, people: str | None, says: str, bundle: Path) -> None:
    options = ["--people", people] if people else []
    assert says in failure(gaitway_here("predict", "--model", bundle, "--dataset", dataset, *options))


def test_predict_names_file_and_line(bundle: Path, tmp_path: Path) -> None:
    path = cut("wisdm-1600", tmp_path, to_s=60)
    (path / "steps.csv").write_text("t_ms,total\n1668000000000,1\n1668000001000,many\n")
    line = failure(gaitway_here("predict", "--model", bundle, "--dataset", f"recordings={tmp_path}"))
    assert line.startswith(f"{path / 'steps.csv'}:3: ")


def test_predict_writes_its_scores(bundle: Path, recordings: Path, tmp_path: Path) -> None:
    summary = tmp_path / "scores.json"
    dataset = f"recordings={recordings}"
    done = gaitway_here("predict", "--model", bundle, "--dataset", dataset, "--summary", summary)
    assert done.returncode == 0, done.stderr
    scores = json.loads(summary.read_text())
    assert {"uar", "uar_by_person", "recall_by_class", "windows", "abstained"} <= scores.keys()
    assert scores["uar_by_person"].keys() == {"e4-S03", "wisdm-1600"}
    assert scores["windows"] > 0
    assert "UAR" in done.stdout


def test_token_names_user_and_expiry() -> None:
    done = gaitway("token", "u1", "--hours", "1", jwt_key=KEY)
    claims = jwt.decode(done.stdout.strip(), KEY, algorithms=["HS256"])
    assert claims["sub"] == "u1"
    assert claims["exp"] - claims["iat"] == 3_600


def test_a_token_needs_a_key_and_a_user() -> None:
    assert "GAITWAY_JWT_KEY" in failure(gaitway_here("token", "u1"))
    assert "'u 1'" in failure(gaitway_here("token", "u 1", jwt_key=KEY))


def test_events_of_a_topic_that_is_not_there(kafka: str, topic_prefix: str) -> None:
    line = failure(gaitway_here("events", "--kafka", kafka, "--topic-prefix", topic_prefix))
    assert line == f"Kafka at {kafka} has no topic {topic_prefix}activity.events"


def test_events_and_replay_of_nobody(recordings: Path) -> None:
    assert f"Kafka at {NOBODY} does not answer" in failure(gaitway_here("events", "--kafka", NOBODY))
    dataset = f"recordings={recordings}"
    line = failure(gaitway_here("replay", "--dataset", dataset, "--url", f"http://{NOBODY}", "--jwt-key", "short"))
    assert "32 bytes" in line


async def test_demo_writes_its_summary_and_removes_its_topics(
    kafka: str, redis_url: str, bundle: Path, recordings: Path, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.json"
    options = ["--watches", 2, "--speed", "max", "--recordings", recordings, "--model", bundle, "--summary", summary]
    done = gaitway("demo", "--broker", kafka, "--redis", redis_url, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(summary.read_text())
    assert {name: result[name] for name in ("missing", "duplicates", "unexpected", "wrong")} == {
        "missing": 0,
        "duplicates": 0,
        "unexpected": 0,
        "wrong": 0,
    }
    assert result["watches"] == 2
    assert result["events"] == result["windows_expected"] >= 14
    assert result["uploads"] >= 36
    assert result["latency_s"].keys() == {"p50", "p95", "p99"}
    assert result["broker"] == kafka
    assert result["model"] == "random@0.0.1"
    assert result["seconds"] > 0
    assert 0 <= result["uar"] <= 1
    assert "0 missing, 0 duplicates, 0 unexpected, 0 wrong" in " ".join(done.stdout.split())
    await assert_no_trace(kafka, redis_url)


def test_demo_of_recordings_at_any_rate_misses_no_window(
    kafka: str, redis_url: str, bundle: Path, tmp_path: Path
) -> None:
    """What Apple Watches, Axivities, cheap oscillators and a radio that sends in bursts give; names of any kind."""
    wrist(tmp_path, "apple", rate_hz=99.65, person="Ann Müller/apple", device="Apple Watch")
    wrist(tmp_path, "axivity", rate_hz=100.4)
    wrist(tmp_path, "cheap", rate_hz=24.9)
    wrist(tmp_path, "band", rate_hz=62.0, burst_ms=240)
    summary = tmp_path / "summary.json"
    options = ["--speed", "max", "--recordings", tmp_path, "--model", bundle, "--summary", summary]
    done = gaitway("demo", "--broker", kafka, "--redis", redis_url, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(summary.read_text())
    assert result["watches"] == 4
    assert result["events"] == result["windows_expected"] >= 8
    assert not any(result[name] for name in ("missing", "duplicates", "unexpected", "wrong"))


async def assert_no_trace(kafka: str, redis_url: str) -> None:
    """A broker and a Redis that are not the demo's are left as they were."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        assert not [topic for topic in await admin.list_topics() if topic.startswith("demo-")]
    finally:
        await admin.close()
    with Redis.from_url(redis_url) as client:
        assert not client.keys("demo-*")


@pytest.fixture
def demo(bundle: Path, recordings: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo with everything embedded, far from its end; its temporary files are under ``tmp_path / "tmp"``."""
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "gaitway", "demo", "--speed", "1"]
    with subprocess.Popen(
        [*command, "--recordings", str(recordings), "--model", str(bundle)],
        env=environment() | {"TMPDIR": str(tmp_path / "tmp"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell that runs the tests in its background has them ignore Ctrl-C, and their children with them.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def children(pid: int) -> set[int]:
    """All living descendants of a process."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found |= {child} | children(child)
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = GONE_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.05)


@pytest.mark.parametrize("blow", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_demo_that_ends_early_leaves_nothing(
    demo: subprocess.Popen[str], tmp_path: Path, blow: signal.Signals
) -> None:
    assert demo.stdout is not None
    line = next((line for line in demo.stdout if "uploads" in line), "")
    assert line, "the demo has ended by itself"
    started = children(demo.pid)
    # Kafka, Valkey and three services, each with its watchdog.
    assert len(started) >= 10
    os.killpg(demo.pid, blow)
    code = demo.wait(GONE_S)
    assert code == {signal.SIGTERM: 143, signal.SIGKILL: -9}[blow]
    wait_for(lambda: not [pid for pid in started if alive(pid)], "the demo's processes to end")
    wait_for(lambda: not list((tmp_path / "tmp").glob("gaitway-*")), "its temporary folders to go")


def test_ctrl_c_while_the_demo_starts_leaves_nothing(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    wait_for(lambda: children(demo.pid), "the first child of the demo")
    started = children(demo.pid)
    os.killpg(demo.pid, signal.SIGINT)
    assert demo.wait(GONE_S) == 130
    wait_for(lambda: not [pid for pid in started if alive(pid)], "the demo's processes to end")
    wait_for(lambda: not list((tmp_path / "tmp").glob("gaitway-*")), "its temporary folders to go")
