import subprocess
import sys

import httpx
import pytest

from shared.runtime.health import Health, health_app


class Watch:
    """A clock that goes by hand."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def health(watch) -> Health:
    return Health(stalled_after_s=60, monotonic=watch)


async def get(health: Health, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(health_app(health))
    async with httpx.AsyncClient(transport=transport, base_url="http://health") as client:
        return await client.get(path)


async def test_alive_while_there_is_progress(health, watch):
    assert (await get(health, "/healthz")).status_code == 200  # a start is progress
    watch.now_s += 59
    assert (await get(health, "/healthz")).json() == {"alive": True}
    watch.now_s += 1
    response = await get(health, "/healthz")
    assert (response.status_code, response.json()) == (503, {"alive": False})
    health.heartbeat()
    assert (await get(health, "/healthz")).status_code == 200


async def test_ready_while_nothing_is_waited_for(health):
    assert (await get(health, "/readyz")).status_code == 200
    health.set_unready("kafka", "not connected")
    health.set_unready("redis", "3 folds wait")
    health.set_ready("kafka")
    response = await get(health, "/readyz")
    assert (response.status_code, response.json()) == (503, {"ready": False, "waiting": {"redis": "3 folds wait"}})
    health.set_ready("redis")
    health.set_ready("redis")
    assert (await get(health, "/readyz")).json() == {"ready": True, "waiting": {}}


async def test_a_dependency_that_is_away_does_not_kill(health):
    health.set_unready("kafka", "away")
    assert (await get(health, "/healthz")).status_code == 200


def test_known_label_values_start_at_zero():
    # In a process of its own: here other tests have counted before.
    code = "import prometheus_client; from shared.runtime import metrics; print(prometheus_client.generate_latest())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'gaitway_features_late_samples_total{modality="steps"} 0.0' in done.stdout


async def test_metrics_have_no_user(health):
    health.heartbeat()
    text = (await get(health, "/metrics")).text
    assert 'user="' not in text
    assert 'device="' not in text


async def test_metrics_of_a_service_say_what_it_waits_for(watch):
    health = Health(monotonic=watch, service="features")
    health.set_unready("kafka", "away")
    health.set_ready("redis")
    text = (await get(health, "/metrics")).text
    assert 'gaitway_dependency_up{dependency="kafka"} 0.0' in text
    assert 'gaitway_dependency_up{dependency="redis"} 1.0' in text
    assert "gaitway_features_users" in text
    assert "gaitway_ingest" not in text
    health.set_ready("kafka")
    assert 'gaitway_dependency_up{dependency="kafka"} 1.0' in (await get(health, "/metrics")).text


async def test_a_dependency_that_answers_and_refuses_does_in_the_end(health, watch):
    health.set_unready("redis", "NOAUTH", refused=True)
    assert (await get(health, "/healthz")).status_code == 200
    watch.now_s += 59
    health.heartbeat()
    health.set_unready("redis", "NOPERM", refused=True)
    assert (await get(health, "/healthz")).status_code == 200
    watch.now_s += 1
    response = await get(health, "/healthz")
    assert (response.status_code, response.json()) == (503, {"alive": False, "refused": {"redis": "NOPERM"}})
    health.set_unready("redis", "away")
    assert (await get(health, "/healthz")).status_code == 200
    health.set_unready("redis", "NOPERM", refused=True)
    health.set_ready("redis")
    watch.now_s += 59
    health.heartbeat()
    assert (await get(health, "/healthz")).json() == {"alive": True}
