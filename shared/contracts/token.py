"""The bearer token of an upload: a JWT whose ``sub`` is the user id."""

import time

import jwt

from shared.contracts.errors import SettingsError
from shared.contracts.users import USER_ID

ALGORITHM = "HS256"
MIN_KEY_BYTES = 32
"""HS256 needs a key that is at least as long as its hash (RFC 7518, section 3.2)."""


def make_token(key: str, user: str, ttl_s: int | None = 7 * 24 * 3600, *, now_s: float | None = None) -> str:
    """Make a token for ``user`` that is valid for ``ttl_s`` seconds; None: without end.

    Raises:
        SettingsError: the key is missing or too short, or ``user`` is not a user id.
    """
    if len(key.encode()) < MIN_KEY_BYTES:
        raise SettingsError(f"GAITWAY_JWT_KEY (or --jwt-key) needs {MIN_KEY_BYTES} bytes, has {len(key.encode())}")
    if not USER_ID.fullmatch(user):
        raise SettingsError(f"user id {user!r} is not 1 to 64 of A-Z a-z 0-9 . _ : -")
    issued_s = int(time.time() if now_s is None else now_s)
    claims: dict[str, str | int] = {"sub": user, "iat": issued_s}
    if ttl_s is not None:
        claims["exp"] = issued_s + ttl_s
    return jwt.encode(claims, key, algorithm=ALGORITHM)
