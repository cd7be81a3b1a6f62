"""What ingest refuses besides an upload that is wrong in itself."""

from shared.contracts.errors import InvalidMessage, RetryLater


class Unauthorised(InvalidMessage):
    """No bearer token, or one that does not hold; ``challenge`` is the value of WWW-Authenticate (RFC 6750)."""

    def __init__(self, detail: str, *, challenge: str = 'Bearer error="invalid_token"') -> None:
        super().__init__(detail)
        self.challenge = challenge


class TooManyRequests(RetryLater):
    """One user has more uploads under way than its share."""
