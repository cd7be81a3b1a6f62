"""A user in Redis: the data read and the data to write."""

import logging
import re
from dataclasses import dataclass, field

from shared.contracts.errors import InvalidRecord
from shared.contracts.window_bitmap import bitmap_from_bytes
from shared.runtime import metrics
from shared.runtime.logging import RateLimitedLogger
from shared.signal.baseline import UserBaseline
from shared.signal.wear import DeviceHistory

log = logging.getLogger("gaitway.features")
_throttled = RateLimitedLogger(log, lines_per_s=2)

# As the script writes it: a stored "007" would never equal the 7 of a write.
_WHOLE = re.compile(rb"0|[1-9][0-9]{0,17}")
_PLACE = re.compile(rb"c\|(?P<device>.+)\|(?P<hour>[0-9]{1,10})", re.DOTALL)
HOUR_BYTES = 360 // 8
"""Size of the bitmap of one hour at the shortest hop."""

Hours = dict[tuple[str, int], int]
"""(device, hour) to the bitmap of the hour's final windows."""


@dataclass(slots=True, eq=False)
class StoredUser:
    """The stored data of one user."""

    seq: int = 0
    baseline: UserBaseline = field(default_factory=UserBaseline)
    hours: Hours = field(default_factory=dict)
    histories: dict[str, DeviceHistory] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class UserWrite:
    """A user after the latest updates; ``hours`` holds the bitmaps that have changed, ``old`` those to delete."""

    user: str
    seq: int
    baseline: bytes
    hours: Hours
    old: list[tuple[str, int]]
    histories: dict[str, bytes] = field(default_factory=dict)


def decode_user(reply: dict[bytes, bytes]) -> StoredUser:
    """Decode the hash of a user; raises InvalidRecord if this service cannot have written its ``seq``."""
    if not reply:
        return StoredUser()
    seq = reply.get(b"seq", b"")
    if not _WHOLE.fullmatch(seq):
        raise InvalidRecord(f"a user's seq is {seq[:20]!r}")
    hours: Hours = {}
    histories: dict[str, DeviceHistory] = {}
    for name, value in reply.items():
        if name.startswith(b"c|"):
            place = _PLACE.fullmatch(name)
            device = _decode_device(place["device"]) if place else ""
            if place and device and len(value) <= HOUR_BYTES:
                hours[device, int(place["hour"])] = bitmap_from_bytes(value)
            else:
                metrics.UNREADABLE_USERS.labels("final_windows").inc()
                _throttled.log(logging.ERROR, "final windows under %r cannot be read and are ignored", name[:100])
        elif name.startswith(b"h|"):
            try:
                histories[_decode_device(name[2:])] = DeviceHistory.from_bytes(value)
            except InvalidRecord as error:
                metrics.UNREADABLE_USERS.labels("history").inc()
                _throttled.log(logging.ERROR, "%s; the history of the device starts again", error)
    try:
        baseline = UserBaseline.from_bytes(reply.get(b"baseline", b""))
    except InvalidRecord as error:
        # A cold start for one user, visible in the events; the final windows stay valid.
        metrics.UNREADABLE_USERS.labels("baseline").inc()
        _throttled.log(logging.ERROR, "%s; the user starts without a baseline", error)
        baseline = UserBaseline()
    histories.pop("", None)
    return StoredUser(int(seq), baseline, hours, histories)


def _decode_device(name: bytes) -> str:
    """Decode a device; empty for an invalid name."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return ""
