"""Errors of ingest besides an invalid upload."""

from shared.contracts.errors import InvalidMessage, RetryLater


class Unauthorised(InvalidMessage):
    """No valid bearer token; ``challenge`` is the value of WWW-Authenticate (RFC 6750)."""

    def __init__(self, detail: str, *, challenge: str = 'Bearer error="invalid_token"') -> None:
        super().__init__(detail)
        self.challenge = challenge


class TooManyRequests(RetryLater):
    """One user has too many uploads in progress."""
