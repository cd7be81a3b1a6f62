"""What an error of Redis is: an outage that ends by itself, a refusal that a human must mend, or one key's fault."""

import re

from redis import exceptions as redis

from shared.contracts.errors import Refused, RetryLater

OUTAGES = frozenset(
    (
        *("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "UNKILLABLE"),
        *("OOM", "READONLY", "MISCONF", "NOREPLICAS", "NOSCRIPT"),
    )
)
"""First words of the answers of a Redis that will take the same command later. NOSCRIPT: the script is sent again."""

_CODE = re.compile(r"\b[A-Z]{3,}\b")


def is_wrong_type(error: Exception) -> bool:
    """Whether the key is of another type than the command's: the fault of this key, at every time."""
    return isinstance(error, redis.ResponseError) and "WRONGTYPE" in _codes(error)


def as_retry(error: Exception) -> RetryLater:
    """What to raise for an error of Redis or of the way to it: Refused where Redis answers and no retry helps."""
    text = f"Redis: {_said(error)}"
    # redis-py has the errors of a log-in among those of the connection.
    if isinstance(error, redis.AuthenticationError | redis.AuthorizationError):
        return Refused(f"{text} (see the user and the password in GAITWAY_REDIS)")
    if isinstance(error, redis.InvalidResponse):
        return Refused(f"{text} (what listens at GAITWAY_REDIS does not speak its protocol)")
    if isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError):
        return RetryLater(text)
    if isinstance(error, redis.ResponseError) and _codes(error) & OUTAGES:
        return RetryLater(text)
    return Refused(text)


def _said(error: Exception) -> str:
    """The answer, with the code that redis-py takes off it."""
    code = getattr(error, "status_code", None) or ""
    text = str(error)
    return text if not code or text.startswith(code) else f"{code} {text}"


def _codes(error: redis.ResponseError) -> set[str]:
    """Words in capitals at the answer's head; an error inside a script is wrapped in words of the script's."""
    return set(_CODE.findall(_said(error)[:200]))
