"""Who sends: bearer tokens (JWT, HS256) whose ``sub`` is the pseudonymous user id."""

import time
from collections.abc import Callable

import jwt

from services.ingest.errors import Unauthorised
from shared.contracts.token import ALGORITHM
from shared.contracts.users import USER_ID

MAX_TOKEN_CHARS = 4_096
CLOCK_SKEW_S = 60
"""How far ``nbf`` and ``iat`` may lie ahead: the issuer's clock is not ours."""


class TokenVerifier:
    """``user(header)``: the user id of an Authorization header. Remembers verified tokens until they expire."""

    def __init__(self, key: str, *, cache_size: int = 100_000, clock_s: Callable[[], float] = time.time) -> None:
        self._key = key
        self._cache_size = cache_size
        self._clock_s = clock_s
        self._verified: dict[str, tuple[str, float]] = {}

    def user(self, authorization: str | None) -> str:
        """The token's ``sub``.

        Raises:
            Unauthorised: no bearer token, a wrong signature, an expired one, or no usable ``sub``.
        """
        header = authorization or ""
        user, expires_s = self._verified.get(header) or self._remember(header)
        # Written so that an `exp` which is NaN counts as over.
        if not self._clock_s() < expires_s:
            self._verified.pop(header, None)
            raise Unauthorised("the token has expired")
        return user

    def _remember(self, header: str) -> tuple[str, float]:
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthorised("a bearer token is needed", challenge="Bearer")
        # Of the header, not of the token alone: it is what is remembered.
        if len(header) > MAX_TOKEN_CHARS:
            raise Unauthorised("the token is too long")
        verified = self._verify(token)
        if len(self._verified) >= self._cache_size:
            # Oldest first: cheap, and a token that is still in use is verified again within one upload.
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
                # `exp` is checked in one place, above, for cached tokens and new ones.
                options={"require": ["sub"], "verify_exp": False},
            )
        # The header is parsed before the signature is checked: brackets nested deep enough end in a RecursionError.
        except (jwt.InvalidTokenError, ValueError, OverflowError, RecursionError) as error:
            raise Unauthorised(f"the token does not hold: {error}") from error
        user, expires_s = claims["sub"], claims.get("exp", float("inf"))
        if not isinstance(user, str) or not USER_ID.fullmatch(user):
            raise Unauthorised("the token's sub is not 1 to 64 of A-Z a-z 0-9 . _ : -")
        if isinstance(expires_s, bool) or not isinstance(expires_s, int | float):
            raise Unauthorised("the token's exp is not a number")
        return user, expires_s
