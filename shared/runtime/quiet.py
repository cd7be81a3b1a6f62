"""Fewer lines from a library that reports the same failure ten times a second while a broker is away."""

import logging
import time

EVERY_S = 30.0


class RepeatFilter(logging.Filter):
    """Of a library's records with one text (before its arguments) only the first in every ``every_s`` seconds."""

    def __init__(self, library: str, every_s: float = EVERY_S) -> None:
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
