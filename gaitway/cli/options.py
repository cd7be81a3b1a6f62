"""Checks of option values before any work; a failure is one line that names the option."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import typer

from gaitway.errors import CommandError


def between(low: float, high: float) -> Callable[[typer.CallbackParam, float | None], float | None]:
    """A number from ``low`` to ``high``; NaN is refused."""

    def check(param: typer.CallbackParam, value: float | None) -> float | None:
        if value is not None and not low <= value <= high:
            raise CommandError(f"{_name(param)}: {value:g} is not between {low:.10g} and {high:.10g}")
        return value

    return check


port = between(1, 65_535)
"""A port number."""


def output_file(param: typer.CallbackParam, path: Path | None) -> Path | None:
    """A file that can be written: its folder exists."""
    if path is None:
        return None
    if path.is_dir():
        raise CommandError(f"{_name(param)}: {path} is a folder")
    if not path.parent.is_dir():
        raise CommandError(f"{_name(param)}: there is not a folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise CommandError(f"{_name(param)}: {path} cannot be written")
    return path


def output_folder(param: typer.CallbackParam, path: Path | None) -> Path | None:
    """A folder that exists or can be created."""
    if path is None:
        return None
    there = next(part for part in (path, *path.absolute().parents) if part.exists())
    if not there.is_dir():
        raise CommandError(f"{_name(param)}: {there} is not a folder")
    if not os.access(there, os.W_OK):
        raise CommandError(f"{_name(param)}: {there} cannot be written")
    return path


def brokers(param: typer.CallbackParam, value: str | None) -> str | None:
    """Kafka's bootstrap servers, HOST:PORT[,HOST:PORT] or "embedded"."""
    from shared.runtime.settings import is_broker

    for server in [] if value is None else value.split(","):
        if not is_broker(server.strip()):
            raise CommandError(f"{_name(param)}: {server!r} is not HOST:PORT")
    return value


def topic_prefix(param: typer.CallbackParam, value: str) -> str:
    """Characters that Kafka allows in topic names."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,200}", value):
        raise CommandError(f"{_name(param)}: {value!r} is not made of A-Z a-z 0-9 . _ -")
    return value


def http_url(param: typer.CallbackParam, value: str | None) -> str | None:
    """http://HOST:PORT or https://HOST:PORT, and at most a path."""
    if value is None or _is_url(value, ("http", "https")):
        return value
    raise CommandError(f"{_name(param)}: {value!r} is not http://HOST:PORT")


def redis_url(param: typer.CallbackParam, value: str) -> str:
    """A Redis URL or "embedded"."""
    if value == "embedded" or _is_url(value, ("redis", "rediss")) or value.startswith("unix://"):
        return value
    raise CommandError(f"{_name(param)}: {value!r} is not redis://HOST:PORT/DATABASE")


def names(param: typer.CallbackParam, value: str | None) -> str | None:
    """A comma-separated list with at least one name, if given."""
    if value is not None and not [name for name in value.split(",") if name.strip()]:
        raise CommandError(f"{_name(param)}: {value!r} names nothing")
    return value


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and " " not in value
    except ValueError:  # a port out of range, a broken IPv6 address
        return False


def _name(param: typer.CallbackParam) -> str:
    return next((name for name in param.opts if name.startswith("--")), (param.name or "").upper())
