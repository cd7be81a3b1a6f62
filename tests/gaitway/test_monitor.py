"""`gaitway monitor`: five answers with numbers, from a real Prometheus beside the real pipeline."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from gaitway.monitor.faulty_watches import add_faults, make_faulty_watches
from tests.debian import program
from tests.recordings import EXAMPLES
from tests.shared.windows.signals import BASE_MS

KEY = "a key for tests, of 32 bytes and more"
SECONDS = 60.0


@pytest.fixture(scope="module")
def watches():
    return {watch.name: watch for watch in make_faulty_watches(EXAMPLES, KEY, BASE_MS, SECONDS)}


def test_people_send_live_from_the_first_upload_on(watches) -> None:
    assert len(watches) == 11
    for watch in watches.values():
        assert watch.uploads[0].sent_at_ms == BASE_MS + 5_000
        assert watch.uploads[-1].sent_at_ms <= BASE_MS + SECONDS * 1000
        # A pause of the recording, if there is one, begins a quarter of the way in.
        times = [upload.sent_at_ms for upload in watch.uploads]
        pauses = [before - BASE_MS for before, after in pairwise(times) if after - before > 20_000]
        assert all(SECONDS * 250 <= pause <= SECONDS * 250 + 10_000 for pause in pauses)


def test_injected_faults_of_three_watches_are_in_their_uploads(watches) -> None:
    numbers = [upload.seq - watches["dsads-p1"].uploads[0].seq for upload in watches["dsads-p1"].uploads]
    assert not {4, 5, 10, 11} & set(numbers)
    silent = [set(upload.heart_rate.bpm) for upload in watches["e4-f11"].uploads[2:] if upload.heart_rate]
    assert silent
    assert all(values == {None} for values in silent)
    filled = [upload for upload in watches["wisdm-1621"].uploads if not any(upload.accelerometer.z)]
    assert filled
    calm = watches["e4-S03"].uploads
    assert list(add_faults("e4-S03", calm)) == calm


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What less than a minute of it prints, and where its pictures are."""
    program("prometheus", package="prometheus")
    pictures = tmp_path_factory.mktemp("pictures")
    command = [sys.executable, "-m", "gaitway", "monitor", "--watches", "20", "--minutes", "0.8"]
    done = subprocess.run([*command, "--pictures", str(pictures)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, pictures


def part(text: str, question: str) -> str:
    """From a question to the next."""
    return re.split(r"\n\d \w", text[text.index(question) :])[0]


def number(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    assert found, f"{pattern} not in {text}"
    return float(found[1].replace(",", ""))


def test_all_five_questions_are_answered_with_numbers(observed: tuple[str, Path]) -> None:
    text, _ = observed
    latency = part(text, "How late are events?")
    assert 0 <= number(latency, r"([\d.]+)% of events within 1 s") <= 100
    assert number(latency, r"gateway_to_event +[\d.]+ s +[\d.]+ s +([\d.]+) s") > 0
    assert number(latency, r"of the canary watch's (\d+) windows") >= 1

    gaps = part(text, "Who has gaps, and why?")
    assert number(gaps, r"(\d+) s without usable data") > 0
    assert number(gaps, r"heart_rate +sensor_silent +(\d+)") > 0

    stuck = part(text, "Is a partition stuck?")
    assert "No: the slowest of" in stuck
    assert number(stuck, r"watch.accelerometer +([\d.]+) s") < 30

    model = part(text, "What does the model see?")
    assert number(model, r"([\d,]+) events") >= 20
    assert 0 < number(model, r"mean confidence ([\d.]+)") <= 1
    assert re.search(r"accelerometer\+heart_rate\+steps +[\d.]+%", model)

    cost = part(text, "What does an hour cost?")
    assert number(cost, r"([\d,]+) CPU seconds per 1,000 watch-hours") > 0
    for service in ("ingest", "features", "inference"):
        assert number(cost, rf"{service} +([\d.]+) s") > 0


def test_pictures_are_drawn_and_small(observed: tuple[str, Path]) -> None:
    _, pictures = observed
    drawn = {path.name: path for path in pictures.iterdir()}
    assert {"latency.svg", "gaps.svg", "classes.svg", "lag.svg"} <= drawn.keys()
    assert all(path.stat().st_size < 100_000 for path in drawn.values())
    assert "sensor silent" in drawn["gaps.svg"].read_text()
    assert "gateway to event" in drawn["latency.svg"].read_text()


def test_without_prometheus_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gaitway", "monitor"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "prometheus is not on the PATH: install Debian's package" in done.stderr
    assert "Traceback" not in done.stderr
