"""The W3C trace context, passed from an upload to its events (https://www.w3.org/TR/trace-context/, level 1)."""

import random
import re

HEADER = "traceparent"
ANSWER_HEADER = "traceresponse"
"""The W3C's name of the response header (https://w3c.github.io/trace-context/#traceresponse-header, a draft)."""

# Version ff is forbidden, as are ids of zeros; a version other than 00 may append unknown fields.
_VALID = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<ids>(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(?P<rest>-.*)?",
    re.DOTALL,
)

# Ids must be unique, not secret, and the system's generator costs a system call per id.
_random = random.Random()  # noqa: S311


def traceparent(header: str | None) -> bytes:
    """Return the trace of a request as version 00, or a new one if the request has no valid one."""
    valid = _VALID.fullmatch(header) if header else None
    if valid and not (valid["rest"] and valid["version"] == "00"):
        return f"00-{valid['ids']}".encode()
    made = f"{_random.getrandbits(192):048x}"
    return f"00-{made[:32]}-{made[32:]}-01".encode()
