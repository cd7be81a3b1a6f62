"""Users in memory: baselines that windows are computed with, folds that wait for Redis."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.features.store import CONFLICT, EMPTY, BaselineStore, StoredUser, UserWrite
from shared import metrics
from shared.errors import LostOwnership, RetryLater
from shared.records.window import Baseline
from shared.signal.baseline import Hop, UserBaseline
from shared.windows.slots import ClosedSlots

log = logging.getLogger("gaitway.features")

SlotsOf = Callable[[str], dict[str, ClosedSlots]]
"""A user's final windows by device, as the assembler knows them."""


@dataclass(slots=True, eq=False)
class _User:
    seq: int
    baseline: UserBaseline
    known: bool
    """False: Redis could not be asked yet; the user's windows say `unavailable` and their hops wait here."""
    waiting: list[tuple[str, Hop]] = field(default_factory=list)
    changed: set[tuple[str, int]] = field(default_factory=set)
    """(device, hour) whose bitmap must be written."""
    dirty: bool = False


class Users:
    """Implements shared.windows.featurise.Baselines over Redis.

    Windows are computed with what is in memory. `persist` writes the folds of windows that are on the bus; until it has
    returned True, nothing that these windows were made of may be acknowledged.
    """

    def __init__(self, store: BaselineStore, hop_ms: int) -> None:
        self._store = store
        self._hop_ms = hop_ms
        self._users: dict[str, _User] = {}
        self._device = ""

    def __len__(self) -> int:
        return len(self._users)

    @property
    def waiting(self) -> int:
        """Folds that Redis has not taken yet."""
        return sum(len(user.waiting) + user.dirty for user in self._users.values())

    async def ensure(self, users: Iterable[str]) -> dict[str, dict[str, ClosedSlots]]:
        """Load the users that are not in memory, and those that are unknown; returns their final windows by device.

        Raises nothing when Redis is away: the users are then in memory as unknown, and asked for again next time.
        """
        missing = sorted({user for user in users if user not in self._users} | set(self.unknown()))
        if not missing:
            return {}
        try:
            stored = await self._store.load(missing)
        except RetryLater as error:
            metrics.REDIS_ERRORS.inc()
            log.warning("%s; %d users go on with no baseline", error, len(missing))
            for user in missing:
                self._users.setdefault(user, _User(0, UserBaseline(), known=False))
            return {}
        return {user: self._adopt(user, stored[user]) for user in missing}

    def _adopt(self, name: str, stored: StoredUser) -> dict[str, ClosedSlots]:
        devices: dict[str, ClosedSlots] = {}
        for (device, hour), bits in stored.hours.items():
            devices.setdefault(device, ClosedSlots(self._hop_ms)).hours[hour] = bits
        before = self._users.get(name)
        user = self._users[name] = _User(stored.seq, stored.baseline, known=True)
        if before is not None:
            # Windows published while Redis was away: fold them now, but none that was folded before that.
            user.changed, user.dirty = before.changed, before.dirty
            for device, hop in before.waiting:
                start = hop.start_ms + hop.hop_ms - 20_000
                if device not in devices or start not in devices[device]:
                    user.baseline.update(hop)
        return devices

    def get(self, user: str, window_mg: NDArray[np.float64]) -> Baseline:
        """See Baselines."""
        entry = self._users[user]
        return entry.baseline.get(window_mg, available=entry.known)

    def fold(self, user: str, device: str, hop: Hop) -> None:
        """See Baselines."""
        entry = self._users[user]
        if entry.known:
            entry.baseline.update(hop)
        else:
            entry.waiting.append((device, hop))
        entry.dirty = True

    def mark_final(self, user: str, device: str, hour: int) -> None:
        """The bitmap of this hour has changed."""
        entry = self._users[user]
        entry.changed.add((device, hour))
        entry.dirty = True

    async def persist(self, slots_of: SlotsOf) -> bool:
        """Write every user that has changed; True when nothing is left to write.

        Raises:
            LostOwnership: another worker has written one of the users since.
        """
        unknown = self.unknown()
        dirty = {name: user for name, user in self._users.items() if user.dirty and user.known}
        try:
            outcomes = await self._store.write([_write(n, u, slots_of, whole=False) for n, u in dirty.items()])
            empty = {n: u for (n, u), outcome in zip(dirty.items(), outcomes, strict=True) if outcome == EMPTY}
            if empty:
                log.warning("Redis has lost %d users (a flush?): writing them again", len(empty))
                again = await self._store.write(
                    [_write(n, u, slots_of, whole=True) for n, u in empty.items()], whole=True
                )
                outcomes += again
                for user in empty.values():
                    user.seq = 0
        except RetryLater as error:
            metrics.REDIS_ERRORS.inc()
            log.warning("%s; %d folds wait", error, self.waiting)
            return False
        if CONFLICT in outcomes:
            raise LostOwnership("another worker has written a user of this partition")
        for user in dirty.values():
            user.seq, user.dirty, user.changed = user.seq + 1, False, set()
        return not unknown

    def unknown(self) -> list[str]:
        """Users that Redis could not be asked for."""
        return [name for name, user in self._users.items() if not user.known]

    def forget(self, users: Iterable[str]) -> None:
        """Drop users from memory, unless something of theirs is still to be written."""
        for name in users:
            if name in self._users and not self._users[name].dirty:
                del self._users[name]

    def clear(self) -> None:
        """Drop everybody: the partitions have gone to another worker."""
        self._users.clear()


def _write(name: str, user: _User, slots_of: SlotsOf, *, whole: bool) -> UserWrite:
    slots = slots_of(name)
    old = [(device, hour) for device, closed in slots.items() for hour in closed.forget_old()]
    hours = {
        (device, hour): bits
        for device, closed in slots.items()
        for hour, bits in closed.hours.items()
        if whole or (device, hour) in user.changed
    }
    return UserWrite(name, user.seq, user.baseline.to_bytes(), hours, old)
