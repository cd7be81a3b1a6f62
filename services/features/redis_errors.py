"""Classification of Redis's errors: an outage ends by itself, a refusal needs a human, a wrong type is one key's."""

import re

from redis import exceptions as redis

from shared.contracts.errors import Refused, RetryLater

OUTAGES = frozenset(
    (
        *("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "UNKILLABLE"),
        *("OOM", "READONLY", "MISCONF", "NOREPLICAS", "NOSCRIPT"),
    )
)
"""First words of answers after which the same command works later. NOSCRIPT: the script is sent again."""

_CODE = re.compile(r"\b[A-Z]{3,}\b")


def is_wrong_type(error: Exception) -> bool:
    """Return whether the key has another type than the command needs, a permanent fault of this key."""
    return isinstance(error, redis.ResponseError) and "WRONGTYPE" in _codes(error)


def as_retry(error: Exception) -> RetryLater:
    """Convert an error of Redis or the connection to RetryLater, or to Refused if no retry helps."""
    text = f"Redis: {_answer_text(error)}"
    # In redis-py the login errors are connection errors.
    if isinstance(error, redis.AuthenticationError | redis.AuthorizationError):
        return Refused(f"{text} (see the user and the password in GAITWAY_REDIS)")
    if isinstance(error, redis.InvalidResponse):
        return Refused(f"{text} (the server at GAITWAY_REDIS does not speak the protocol of Redis)")
    if isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError):
        return RetryLater(text)
    if isinstance(error, redis.ResponseError) and _codes(error) & OUTAGES:
        return RetryLater(text)
    return Refused(text)


def _answer_text(error: Exception) -> str:
    """Return the answer with the code that redis-py removes."""
    code = getattr(error, "status_code", None) or ""
    text = str(error)
    return text if not code or text.startswith(code) else f"{code} {text}"


def _codes(error: redis.ResponseError) -> set[str]:
    """Return the words in capitals at the start of an answer; an error in a script has further text around it."""
    return set(_CODE.findall(_answer_text(error)[:200]))
