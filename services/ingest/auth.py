"""Authentication: bearer tokens (JWT, HS256) whose ``sub`` is the pseudonymous user id."""

import time
from collections.abc import Callable

import jwt

from services.ingest.errors import Unauthorised
from shared.contracts.token import ALGORITHM
from shared.contracts.users import USER_ID

MAX_TOKEN_CHARS = 4_096
CLOCK_SKEW_S = 60
"""How far ``nbf`` and ``iat`` may be ahead, because the issuer has another clock."""


class TokenVerifier:
    """Verifier of Authorization headers that remembers verified tokens until they expire."""

    def __init__(self, key: str, *, cache_size: int = 100_000, clock_s: Callable[[], float] = time.time) -> None:
        self._key = key
        self._cache_size = cache_size
        self._clock_s = clock_s
        self._verified: dict[str, tuple[str, float]] = {}

    def user(self, authorization: str | None) -> str:
        """Return the user id, which is the token's ``sub``.

        Raises:
            Unauthorised: no bearer token, a wrong signature, an expired one, or no usable ``sub``.
        """
        header = authorization or ""
        user, expires_s = self._verified.get(header) or self._remember(header)
        # In this form, an `exp` of NaN counts as expired.
        if not self._clock_s() < expires_s:
            self._verified.pop(header, None)
            raise Unauthorised("the token has expired")
        return user

    def _remember(self, header: str) -> tuple[str, float]:
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthorised("a bearer token is needed", challenge="Bearer")
        # The limit applies to the header, because the whole header is remembered.
        if len(header) > MAX_TOKEN_CHARS:
            raise Unauthorised("the token is too long")
        verified = self._verify(token)
        if len(self._verified) >= self._cache_size:
            # Oldest first: this is cheap, and a token in use is verified again with its next upload.
            del self._verified[next(iter(self._verified))]
        self._verified[header] = verified
        return verified

    def _verify(self, token: str) -> tuple[str, float]:
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                leeway=CLOCK_SKEW_S,
                # `user` checks `exp`, for cached tokens and new ones.
                options={"require": ["sub"], "verify_exp": False},
            )
        # The header is parsed before the signature is checked: deeply nested brackets cause a RecursionError.
        except (jwt.InvalidTokenError, ValueError, OverflowError, RecursionError) as error:
            raise Unauthorised(f"the token does not hold: {error}") from error
        user, expires_s = claims["sub"], claims.get("exp", float("inf"))
        if not isinstance(user, str) or not USER_ID.fullmatch(user):
            raise Unauthorised("the token's sub is not 1 to 64 of A-Z a-z 0-9 . _ : -")
        if isinstance(expires_s, bool) or not isinstance(expires_s, int | float):
            raise Unauthorised("the token's exp is not a number")
        return user, expires_s
