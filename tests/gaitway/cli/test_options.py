"""Values that no option can have: one line that names the option, before any work."""

import socket
import sys
from pathlib import Path

import pytest

from gaitway.__main__ import main
from tests.gaitway.cli.command import KEY, NOBODY, failure, gaitway_here
from tests.recordings import EXAMPLES

HERE = f"recordings={EXAMPLES}"
PREDICT = ["predict", "--dataset", HERE, "--people", "e4-S03"]
LOAD = ["load", "--url", f"http://{NOBODY}", "--jwt-key", KEY]
TRAIN = ["train", "--dataset", HERE, "--out"]
EXPERIMENT = ["experiment", "har2", HERE, "--out", "/tmp"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        *((["token", "u1", "--jwt-key", KEY, "--hours", hours], "--hours: ") for hours in ("nan", "inf", "0", "1e300")),
        (["token", "u1", "--jwt-key", KEY, "--hours=-1"], "--hours: -1 is not between"),
        (["token", "u1", "--jwt-key", KEY, "--hours=1e-9"], "--hours: 1e-09 is not between"),
        (["token", "", "--jwt-key", KEY], "user id ''"),
        (["token", "u1", "--jwt-key", ""], "needs 32 bytes, has 0"),
        *(
            (["replay", "--url", url, "--jwt-key", KEY], f"--url: {url!r} is not http://HOST:PORT")
            for url in ("127.0.0.1:8080", "localhost", "ftp://x", "http://", "", "http://h:99999", "http://h:x", "//h")
        ),
        (["replay", "--speed", "nan"], "--speed: 'nan'"),
        (["replay", "--speed", "0"], "--speed: '0'"),
        (["replay", "--speed", "1e-300"], "--speed: '1e-300' is below 0.01"),
        (["replay", "--people", ""], "--people: '' names nothing"),
        (["replay", "--jwt-key", "short"], "needs 32 bytes, has 5"),
        (["replay", "--dataset", "recordings=/nowhere"], "/nowhere: no such file or directory"),
        (["load", "--url", "127.0.0.1:1"], "--url: '127.0.0.1:1' is not http://HOST:PORT"),
        ([*LOAD, "--minutes", "nan"], "--minutes: nan is not between"),
        ([*LOAD, "--minutes", "1e300"], "--minutes: 1e+300 is not between"),
        ([*LOAD, "--ramp-s", "inf"], "--ramp-s: inf is not between"),
        ([*LOAD, "--watches", "0"], "--watches: 0 is not between 1 and 1000000"),
        ([*LOAD, "--kafka", "http://here"], "--kafka: 'http://here' is not HOST:PORT"),
        ([*LOAD, "--summary", "/nowhere/x.json"], "--summary: there is not a folder /nowhere"),
        ([*LOAD, "--recordings", "README.md"], "no recording here"),
        (["monitor", "--minutes", "nan"], "--minutes: nan"),
        (["monitor", "--pictures", "README.md/x"], "/README.md is not a folder"),
        (["broker", "--kafka-port", "70000"], "--kafka-port: 70000 is not between 1 and 65535"),
        (["broker", "--kafka-port=-1"], "--kafka-port: -1 is not between"),
        (["broker", "--redis-port", "0"], "--redis-port: 0 is not between"),
        (["broker", "--kafka-port", "9092", "--redis-port", "9092"], "--redis-port: 9092 is Kafka's port already"),
        (["broker", "--data", "README.md"], "README.md is not a folder"),
        (["events", "--kafka", ""], "--kafka: '' is not HOST:PORT"),
        (["events", "--kafka", "127.0.0.1:abc"], "--kafka: '127.0.0.1:abc' is not HOST:PORT"),
        (["events", "--kafka", "a:9092,b:99999"], "--kafka: 'b:99999' is not HOST:PORT"),
        (["events", "--topic-prefix", "a b"], "--topic-prefix: 'a b' is not made of"),
        (["explain", "x", "--grace-s", "nan"], "--grace-s: nan"),
        (["explain", "x", "--hours", "nan"], "--hours: nan"),
        (["explain", "x", "--model", "README.md"], "README.md/manifest.json: Not a directory"),
        (["demo", "--broker", "here:x"], "--broker: 'here:x' is not HOST:PORT"),
        (["demo", "--redis", "http://x"], "--redis: 'http://x' is not redis://HOST:PORT"),
        (["demo", "--redis", "redis://h:99999/0"], "--redis: 'redis://h:99999/0' is not"),
        (["demo", "--summary", "/tmp"], "--summary: /tmp is a folder"),
        (["demo", "--watches", "0"], "--watches: 0 is not between"),
        ([*PREDICT, "--summary", "/nowhere/x.json"], "--summary: there is not a folder /nowhere"),
        ([*PREDICT, "--windows", "/nowhere/x.csv"], "--windows: there is not a folder /nowhere"),
        ([*PREDICT, "--windows", "/tmp"], "--windows: /tmp is a folder"),
        ([*PREDICT, "--people", ","], "--people: ',' names nothing"),
        ([*PREDICT, "--model", "/nowhere"], "/nowhere/manifest.json: No such file or directory"),
        (["predict", "--dataset", "recordings=README.md"], "README.md: no recording here"),
        (["predict", "--dataset", "e4=README.md"], "README.md: no Empatica E4 export here"),
        (["datasets", "inspect", HERE, "--json", "/nowhere/x"], "--json: there is not a folder /nowhere"),
        ([*TRAIN, "README.md"], "--out: README.md is not a folder"),
        ([*TRAIN, "/tmp", "--seed=-1"], "--seed: -1 is not between"),
        ([*TRAIN, "/tmp", "--processes", "0"], "--processes: 0 is not between"),
        (["report", "/nowhere"], "/nowhere"),
        (["ablation", "--dataset", HERE, "--out", "/tmp"], "--out: /tmp is a folder"),
        (["ablation", "--dataset", HERE, "--out", "/tmp/x", "--arms", ","], "--arms: ',' names nothing"),
        (["ablation", "--dataset", HERE, "--out", "/tmp/x", "--seeds", "0"], "--seeds: 0 is not between"),
        (["tree-baseline", "--dataset", HERE, "--modalities", "smell"], "--modalities: 'smell' is not a list of"),
    ],
    ids=lambda value: " ".join(value)[-60:] if isinstance(value, list) else "",
)
def test_a_value_that_cannot_be_ends_in_one_line(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["gaitway", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    line = str(ended.value.code)
    assert line.startswith("gaitway: ")
    assert says in line
    assert "\n" not in line


def test_load_where_nobody_listens() -> None:
    done = gaitway_here(*LOAD, "--watches", "2")
    assert f"http://{NOBODY} does not answer" in failure(done)
    assert len(done.stderr.splitlines()) == 1


def test_load_whose_kafka_is_away() -> None:
    done = gaitway_here(*LOAD, "--watches", "2", "--kafka", NOBODY)
    assert f"Kafka at {NOBODY} does not answer" in failure(done)


def test_a_broker_on_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in failure(gaitway_here("broker", "--kafka-port", port))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "accelerometer.csv").mkdir()
    (tmp_path / "accelerometer.csv.gz").write_bytes(b"no gzip")
    line = failure(gaitway_here("predict", "--dataset", f"recordings={tmp_path}"))
    assert line.startswith(f"{tmp_path / 'accelerometer.csv.gz'}: cannot be read: ")
