"""Tokens for the gateway's development key: what `gaitway token`, replay and the demo send."""

from gaitway.errors import CommandError
from services.ingest.auth import make_token as _sign
from services.ingest.settings import MIN_KEY_BYTES
from shared.errors import SettingsError

TTL_S = 7 * 24 * 3600


def make_token(jwt_key: str, user: str, ttl_s: int = TTL_S) -> str:
    """A token for ``user``.

    Raises:
        SettingsError: the key is missing or too short.
        CommandError: ``user`` is no user id.
    """
    if len(jwt_key.encode()) < MIN_KEY_BYTES:
        raise SettingsError(f"GAITWAY_JWT_KEY (or --jwt-key) needs {MIN_KEY_BYTES} bytes, has {len(jwt_key.encode())}")
    try:
        return _sign(jwt_key, user, ttl_s)
    except ValueError as error:
        raise CommandError(str(error)) from error
