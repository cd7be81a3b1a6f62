"""Logging of the services on standard error: lines for a terminal, or one JSON object per event for a collector.

python-json-logger is a formatter, so it also formats the records of libraries, which use Python's logging.
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
    """Set up the root handler and return the service's logger."""
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(_json(service) if as_json else _Text(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # A collector of JSON cannot read Python's own warnings.
    logging.captureWarnings(as_json)
    # These report every routine step (a rebalance, a started child service, a request) at INFO.
    for library in ("aiokafka", "faust", "mode", "uvicorn", "httpx"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    limit_repeats("aiokafka")
    logger = logging.getLogger(f"gaitway.{service}")
    fault_injection.log_if_active(logger)
    return logger


def trace_extra(traceparent: str | bytes | None) -> dict[str, str]:
    """Return the ``extra`` of a log line about an upload, a record or an event: its trace id, if it has one."""
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
        """Put the time first, for human readers."""
        return {"timestamp": log_data.pop("timestamp"), **log_data}


def _json(service: str) -> logging.Formatter:
    return _Json(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        static_fields={"service": service},
        timestamp=True,
    )


class RateLimitedLogger:
    """A logger with at most ``lines_per_s`` lines a second and a count of the others; metrics count a flood.

    ``log`` takes level, text, arguments and ``extra`` like Logger.log.
    """

    def __init__(self, logger: logging.Logger, lines_per_s: int = 20) -> None:
        self._logger = logger
        self._lines_per_s = lines_per_s
        self._second = 0
        self._lines = 0

    def log(self, level: int, text: str, *args: object, extra: dict[str, str] | None = None) -> None:
        """Log a line, unless this second has reached its limit."""
        second = int(time.monotonic())
        if second != self._second:
            if (left_out := self._lines - self._lines_per_s) > 0:
                self._logger.warning("%d more lines of this kind were left out", left_out)
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= self._lines_per_s:
            self._logger.log(level, text, *args, extra=extra)


class ThrottledLogger:
    """A logger of only the first line per kind in ``every_s`` seconds, for retries; kinds are few."""

    def __init__(self, logger: logging.Logger, every_s: float = 10.0) -> None:
        self._logger = logger
        self._every_s = every_s
        self._last_s: dict[str, float] = {}

    def log(self, kind: str, level: int, text: str, *args: object) -> None:
        """Log a line, unless the last one of this ``kind`` is younger than ``every_s``."""
        now_s = time.monotonic()
        if now_s - self._last_s.get(kind, -self._every_s) >= self._every_s:
            self._last_s[kind] = now_s
            self._logger.log(level, text, *args)


class RepeatFilter(logging.Filter):
    """A filter that passes one record per text (without arguments) of a library in ``every_s`` seconds.

    aiokafka reports the same failure ten times a second while a broker is unavailable.
    """

    def __init__(self, library: str, every_s: float = REPEAT_EVERY_S) -> None:
        super().__init__()
        self._library = library
        self._every_s = every_s
        self._last_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True to pass the record."""
        if record.name.partition(".")[0] != self._library or record.levelno > logging.ERROR:
            return True
        now_s = time.monotonic()
        last_s = self._last_s.get(str(record.msg))
        if last_s is not None and now_s - last_s < self._every_s:
            return False
        self._last_s[str(record.msg)] = now_s
        return True


def limit_repeats(library: str) -> None:
    """Filter at the root handlers, because a filter on the library's logger misses the records of its modules."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatFilter(library))
