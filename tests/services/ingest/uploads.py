"""A valid upload, to be spoilt by a test."""

import copy
import json
from typing import Any

from services.ingest.openapi import EXAMPLE

NOW_MS = 1_668_000_005_500
KEY = "a development key of 32 bytes or more"


def upload(path: str = "", value: Any = None) -> dict[str, Any]:
    """The example of the OpenAPI document, with the member at ``path`` (``accelerometer.x.3``) set to ``value``."""
    body: dict[str, Any] = copy.deepcopy(EXAMPLE)
    if path:
        *parents, last = (int(step) if step.isdigit() else step for step in path.split("."))
        part: Any = body
        for step in parents:
            part = part[step]
        part[last] = value
    return body


def without(path: str) -> dict[str, Any]:
    """The example without the member at ``path``."""
    body = upload()
    *parents, last = path.split(".")
    part: Any = body
    for step in parents:
        part = part[step]
    del part[last]
    return body


def literal(path: str, text: str) -> bytes:
    """The example with JSON text that ``json.dumps`` would not write at ``path``."""
    return json.dumps(upload(path, "<here>")).replace('"<here>"', text).encode()
