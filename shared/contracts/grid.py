"""The grid of window starts: ``grid_phase_ms(user, hop_ms) + k * hop_ms`` since the Unix epoch."""

import hashlib


def grid_phase_ms(user: str, hop_ms: int) -> int:
    """Return a user's phase of the grid: whole seconds in [0, hop), so that live windows spread over the hop.

    It is the first 8 bytes of SHA-256 of the user id, big-endian, modulo the seconds of the hop. Not murmur2, which
    decides the partition: the users of one partition must have all phases. Window starts of the longer hop are also
    starts of the shorter one.
    """
    digest = hashlib.sha256(user.encode()).digest()
    return int.from_bytes(digest[:8], "big") % (hop_ms // 1000) * 1000
