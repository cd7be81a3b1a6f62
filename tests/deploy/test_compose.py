import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml

from gaitway.embedded import KAFKA_VERSION, KafkaBroker, ValkeyServer
from gaitway.events import EventReader
from shared.contracts.token import make_token
from tests.deploy.images import COMPOSE, ROOT, Container, compose, own_services

KEY = "a key for tests, of 32 bytes and more"
VARIABLES = {"GAITWAY_JWT_KEY": KEY, "GAITWAY_DEMO_SPEED": "max"}


@pytest.fixture(scope="module")
def file():
    return compose(VARIABLES)


def test_the_file_is_what_the_specification_asks_for():
    check = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run([check, "--builtin-schema", "vendor.compose-spec", COMPOSE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_holds_no_secret_and_does_not_start_without_one():
    with pytest.raises(KeyError, match="GAITWAY_JWT_KEY"):
        compose({})
    values = re.findall(r"(?:KEY|TOKEN|PASSWORD|SECRET)\w*: (.*)", COMPOSE.read_text())
    assert values
    assert all(value.startswith("${GAITWAY_JWT_KEY:?") for value in values)


def test_every_container_is_confined(file):
    for name, service in file["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "network_mode", "pid", "devices", "cap_add"} & service.keys(), name
        assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys(), name
        # Kafka's image writes its configuration at the start.
        assert service.get("read_only", False) == (name != "kafka"), name
        assert not any("docker.sock" in str(volume) for volume in service.get("volumes", [])), name


def test_ports_are_for_this_machine_alone(file):
    published = {name: port for name, s in file["services"].items() for port in s.get("ports", [])}
    assert set(published) == {"ingest", "prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for port in published.values())
    assert file["networks"]["bus"] == {"internal": True}
    assert all(file["services"][name]["networks"] == ["bus"] for name in ("kafka", "redis"))


def test_each_waits_for_what_it_needs(file):
    services = file["services"]
    needs = {name: set(s.get("depends_on", {})) for name, s in services.items()}
    assert needs["ingest"] == needs["inference"] == {"kafka"}
    assert needs["features"] == {"kafka", "redis"}
    assert needs["demo"] == needs["canary"] == {"ingest", "features", "inference"}
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, name
            assert "healthcheck" in services[other] or "build" in services[other], f"{other} has no health check"


def test_images_come_by_tag(file):
    images = {name: s["image"] for name, s in file["services"].items()}
    assert all(re.fullmatch(r"[\w/.-]+:v?\d+\.\d+\.\d+", name) for name in images.values()), images
    assert images["kafka"] == f"apache/kafka:{KAFKA_VERSION}"


def test_what_prometheus_asks_is_there(file):
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in scraped for config in job["static_configs"] for target in config["targets"]}
    own = {n: Container(n, s, {}, Path()).port for n, s in own_services(file).items() if "profiles" not in s}
    assert targets == {f"{name}:{port}" for name, port in own.items()}


def test_mounted_folders_are_there(file):
    bound = [v.split(":")[0] for s in file["services"].values() for v in s.get("volumes", []) if v.startswith("./")]
    assert bound
    for folder in bound:
        assert any((ROOT / folder).iterdir()), folder


def upload(now_ms: int) -> dict[str, object]:
    """40 s of all three modalities, with one whole window and more in them."""
    t0_ms = now_ms - 45_000
    return {
        "device": "w1",
        "session": "s1",
        "seq": 1,
        "sent_at_ms": now_ms,
        "accelerometer": {
            "t0_ms": t0_ms,
            "rate_hz": 25,
            "unit": "mg",
            "x": [n % 7 for n in range(1000)],
            "y": [0] * 1000,
            "z": [1000 - n % 5 for n in range(1000)],
        },
        "heart_rate": {"t0_ms": t0_ms, "rate_hz": 1, "bpm": [72] * 40},
        "steps": {"t0_ms": t0_ms, "rate_hz": 1, "total": [4000] * 40},
    }


@pytest.fixture
def confinement() -> None:
    """Skips where this machine does not let us have a read-only root file system."""
    allowed = subprocess.run(["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "true"])
    if allowed.returncode != 0 and not os.environ.get("CI"):
        pytest.skip("needs `unshare --mount`")


async def test_its_services_run_as_it_says(file, tmp_path, confinement):
    with contextlib.ExitStack() as running:
        kafka = running.enter_context(KafkaBroker())
        redis = running.enter_context(ValkeyServer())
        addresses = {
            "kafka:9092": kafka.bootstrap_servers,
            "redis:6379": f"{redis.host}:{redis.port}",
            "//ingest:": "//127.0.0.1:",
        }
        containers = {name: Container(name, s, addresses, tmp_path) for name, s in own_services(file).items()}
        demo = containers.pop("demo")
        for container in containers.values():
            running.enter_context(container)
        for container in containers.values():
            container.wait_until_healthy()

        # Through the port that the file publishes.
        port = file["services"]["ingest"]["ports"][0].split(":")[-1]
        token = {"Authorization": f"Bearer {make_token(KEY, 'u1')}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10) as client:
            deadline_s = time.monotonic() + 60
            while not (ready := await client.get("/readyz")).is_success and time.monotonic() < deadline_s:
                await asyncio.sleep(0.2)
            assert ready.is_success, ready.text
            answer = await client.post("/v1/uploads", json=upload(time.time_ns() // 1_000_000), headers=token)
        assert answer.status_code == 202, answer.text
        async with asyncio.timeout(60), EventReader(kafka.bootstrap_servers, from_start=True) as events:
            async for event in events:
                if event.data["user"] == "u1":
                    break
        assert event.data["modalities"] == ["accelerometer", "heart_rate", "steps"]

        assert "uploads of 11 watches accepted" in demo.run(timeout_s=120)
        for container in containers.values():
            container.wait_until_healthy()
        log = (tmp_path / "ingest" / "container.log").read_text()
        assert KEY not in log
        assert all(json.loads(line) for line in log.splitlines())
