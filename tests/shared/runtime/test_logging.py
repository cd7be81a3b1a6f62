"""Log lines: text for people, JSON for collectors, both with the trace they belong to."""

import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator

import pytest

from shared.runtime.logging import RateLimitedLogger, ThrottledLogger, configure_logging, trace_extra

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def test_a_json_line_has_the_fields_that_a_collector_asks_for(capsys):
    logger = configure_logging("features", "INFO", "json")
    logger.warning("rejected %s %d@%d", "watch.steps", 3, 17, extra=trace_extra(TRACE))
    line = json.loads(capsys.readouterr().err)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", line.pop("timestamp"))
    assert line == {
        "level": "WARNING",
        "service": "features",
        "logger": "gaitway.features",
        "message": "rejected watch.steps 3@17",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }


@pytest.mark.filterwarnings("always")
def test_a_json_line_is_one_line_whatever_it_holds(capsys):
    logger = configure_logging("ingest", "INFO", "json")
    try:
        raise KeyError("a\nb")
    except KeyError:
        logger.exception("it\nfailed")
    logging.getLogger("aiokafka.conn").error("%s", "of a library")
    warnings.warn("of Python", UserWarning, stacklevel=1)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["logger"] for line in lines] == ["gaitway.ingest", "aiokafka.conn", "py.warnings"]
    assert lines[0]["message"] == "it\nfailed"
    assert "KeyError" in lines[0]["exc_info"]
    assert "trace_id" not in lines[0]


def test_a_text_line(capsys):
    logger = configure_logging("inference", "INFO")
    logger.info("model %s", "x")
    logger.warning("rejected", extra=trace_extra(TRACE.encode()))
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO    inference gaitway.inference: model x", first)
    assert second.endswith("gaitway.inference: rejected [trace 0af7651916cd43dd8448eb211c80319c]")


@pytest.mark.parametrize("terminal", [True, False])
def test_auto_is_text_on_a_terminal_alone(capsys, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    configure_logging("ingest", "INFO", "auto").info("hello")
    assert capsys.readouterr().err.startswith("{") != terminal


@pytest.mark.parametrize("traceparent", [None, "", b"", "rubbish"])
def test_no_trace_no_field(traceparent):
    assert trace_extra(traceparent) == {}


def lines_of(logger: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Its own alone: what another test has left behind may log at any time."""
    return [record.getMessage() for record in caplog.records if record.name == logger]


def test_many_equal_lines_are_a_few_and_a_count(caplog, monkeypatch):
    now_s = 100.0
    monkeypatch.setattr("shared.runtime.logging.time.monotonic", lambda: now_s)
    sparing = RateLimitedLogger(logging.getLogger("flood"), lines_per_s=3)
    for number in range(10):
        sparing.log(logging.ERROR, "%d", number, extra={})
    assert lines_of("flood", caplog) == ["0", "1", "2"]
    now_s = 101.0
    sparing.log(logging.ERROR, "after", extra={})
    assert lines_of("flood", caplog)[3:] == [
        "7 more lines of this kind were left out",
        "after",
    ]


def test_repeated_failures_are_logged_once_per_interval_and_kind(monkeypatch, caplog):
    now_s = 100.0
    monkeypatch.setattr("shared.runtime.logging.time.monotonic", lambda: now_s)
    seldom = ThrottledLogger(logging.getLogger("again"), every_s=10.0)
    for number in range(5):
        seldom.log("read", logging.WARNING, "read %d", number)
        seldom.log("write", logging.WARNING, "write %d", number)
    now_s = 109.9
    seldom.log("read", logging.WARNING, "too soon")
    now_s = 110.0
    seldom.log("read", logging.WARNING, "read on")
    assert lines_of("again", caplog) == ["read 0", "write 0", "read on"]
