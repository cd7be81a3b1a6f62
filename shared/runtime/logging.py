"""Logging of the services on standard error: lines for a terminal, or one JSON object per event for a collector.

JSON by python-json-logger, a formatter: the libraries' records, which all come from Python's own logging, get it too.
"""

import logging
import sys
import time
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

from shared.runtime import fault_injection

LogFormat = Literal["text", "json", "auto"]
REPEAT_EVERY_S = 30.0


def configure_logging(service: str, level: str, log_format: LogFormat = "text") -> logging.Logger:
    """Set the root handler up and return the service's logger."""
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(_json(service) if as_json else _Text(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # A warning of Python's own would be lines that no collector can read.
    logging.captureWarnings(as_json)
    # These report every routine step (a rebalance, a started child service, a request) at INFO.
    for library in ("aiokafka", "faust", "mode", "uvicorn", "httpx"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    limit_repeats("aiokafka")
    logger = logging.getLogger(f"gaitway.{service}")
    fault_injection.log_if_active(logger)
    return logger


def trace_extra(traceparent: str | bytes | None) -> dict[str, str]:
    """What a line about an upload, a record or an event takes as ``extra``: its trace's id, if it has one."""
    text = traceparent.decode("ascii", "replace") if isinstance(traceparent, bytes) else traceparent or ""
    trace_id = text.split("-")[1:2]
    return {"trace_id": trace_id[0]} if trace_id else {}


class _Text(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)-7s {service} %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        trace_id = getattr(record, "trace_id", None)
        return super().formatMessage(record) + (f" [trace {trace_id}]" if trace_id else "")


class _Json(JsonFormatter):
    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """The time first, for people who read it all the same."""
        return {"timestamp": log_data.pop("timestamp"), **log_data}


def _json(service: str) -> logging.Formatter:
    return _Json(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        static_fields={"service": service},
        timestamp=True,
    )


class RateLimitedLogger:
    """At most ``lines_per_s`` lines a second, and how many were left out: a flood is counted by metrics, not by lines.

    ``log`` is told level, text, arguments and ``extra`` as Logger.log is.
    """

    def __init__(self, logger: logging.Logger, lines_per_s: int = 20) -> None:
        self._logger = logger
        self._lines_per_s = lines_per_s
        self._second = 0
        self._lines = 0

    def log(self, level: int, text: str, *args: object, extra: dict[str, str] | None = None) -> None:
        """Log it, unless this second has had its lines."""
        second = int(time.monotonic())
        if second != self._second:
            if (left_out := self._lines - self._lines_per_s) > 0:
                self._logger.warning("%d more lines of that kind were left out", left_out)
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= self._lines_per_s:
            self._logger.log(level, text, *args, extra=extra)


class ThrottledLogger:
    """The first line of each kind in every ``every_s`` seconds, for what is tried again and again; kinds are few."""

    def __init__(self, logger: logging.Logger, every_s: float = 10.0) -> None:
        self._logger = logger
        self._every_s = every_s
        self._last_s: dict[str, float] = {}

    def log(self, kind: str, level: int, text: str, *args: object) -> None:
        """Log it, unless a line of the ``kind`` is younger than that."""
        now_s = time.monotonic()
        if now_s - self._last_s.get(kind, -self._every_s) >= self._every_s:
            self._last_s[kind] = now_s
            self._logger.log(level, text, *args)


class RepeatFilter(logging.Filter):
    """Of a library's records with one text (before its arguments) only the first in every ``every_s`` seconds.

    aiokafka reports the same failure ten times a second while a broker is away.
    """

    def __init__(self, library: str, every_s: float = REPEAT_EVERY_S) -> None:
        super().__init__()
        self._library = library
        self._every_s = every_s
        self._last_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """True lets the record through."""
        if record.name.partition(".")[0] != self._library or record.levelno > logging.ERROR:
            return True
        now_s = time.monotonic()
        last_s = self._last_s.get(str(record.msg))
        if last_s is not None and now_s - last_s < self._every_s:
            return False
        self._last_s[str(record.msg)] = now_s
        return True


def limit_repeats(library: str) -> None:
    """Filter what the root handlers print; a filter on the library's logger would not see those of its modules."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatFilter(library))
