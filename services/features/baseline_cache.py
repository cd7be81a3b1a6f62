"""Users in memory: baselines that windows are computed with, folds that wait for Redis."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.features.baseline_store import CONFLICT, EMPTY, WRITTEN, BaselineStore, StoredUser, UserWrite, batches
from shared.contracts.errors import LostOwnership, RetryLater
from shared.contracts.gap import GapReason
from shared.contracts.modality import WINDOW_MS
from shared.contracts.window import Baseline
from shared.runtime import fault_injection, metrics
from shared.runtime.logging import ThrottledLogger
from shared.signal.baseline import Hop
from shared.signal.user_state import UserState
from shared.windows.final_windows import FinalWindows

log = logging.getLogger("gaitway.features")

SlotsOf = Callable[[str], dict[str, FinalWindows]]
"""A user's final windows by device, as the assembler knows them."""


@dataclass(slots=True, eq=False)
class _CachedUser:
    seq: int
    state: UserState
    known: bool
    """False: Redis could not be asked yet; the user's windows say `unavailable` and their hops wait here."""
    waiting: list[tuple[str, Hop]] = field(default_factory=list)
    changed: set[tuple[str, int]] = field(default_factory=set)
    """(device, hour) whose bitmap must be written."""
    checked: set[str] = field(default_factory=set)
    """Devices whose history must be written."""
    states: tuple[str, str] | None = None
    """Of the accelerometer's and the heart rate's baseline that the newest window was computed with."""


_Named = tuple[str, _CachedUser]


class BaselineCache:
    """Implements shared.windows.featurise.Baselines over Redis.

    Windows are computed with what is in memory. `save` writes the folds of windows that are on the bus; until it has
    returned True, nothing that these windows were made of may be acknowledged.
    """

    def __init__(self, store: BaselineStore, hop_ms: int) -> None:
        self._store = store
        self._hop_ms = hop_ms
        self._users: dict[str, _CachedUser] = {}
        # Those of them with something to write, and those that could not be read: few of many.
        self._dirty: dict[str, _CachedUser] = {}
        self._unknown: set[str] = set()
        self._throttled = ThrottledLogger(log)
        self.failure: RetryLater | None = None
        """Why Redis did not take or give what it was last asked for; None when it did."""

    def __len__(self) -> int:
        return len(self._users)

    @property
    def waiting(self) -> int:
        """Folds that Redis has not taken yet."""
        return len(self._dirty) + sum(len(self._users[name].waiting) for name in self._unknown)

    def states(self) -> Counter[tuple[str, str]]:
        """Users by the states of the baselines that their newest window was computed with."""
        return Counter(user.states for user in self._users.values() if user.states is not None)

    async def load_missing(self, users: Iterable[str]) -> dict[str, dict[str, FinalWindows]]:
        """Load the users that are not in memory, and those that are unknown; returns their final windows by device.

        Raises nothing when Redis is away: the users are then in memory as unknown, and asked for again next time.
        """
        missing = sorted({user for user in users if user not in self._users} | self._unknown)
        if not missing:
            return {}
        try:
            stored = await self._store.load(missing)
        except RetryLater as error:
            metrics.REDIS_ERRORS.inc()
            self.failure = error
            self._throttled.log("load", logging.WARNING, "%s; %d users go on with no baseline", error, len(missing))
            for user in missing:
                self._users.setdefault(user, _CachedUser(0, UserState(), known=False))
            self._unknown.update(missing)
            return {}
        return {user: self._adopt(user, stored[user]) for user in missing}

    def _adopt(self, name: str, stored: StoredUser) -> dict[str, FinalWindows]:
        devices: dict[str, FinalWindows] = {}
        for (device, hour), bits in stored.hours.items():
            devices.setdefault(device, FinalWindows(self._hop_ms)).hours[hour] = bits
        histories = {device: h for device, h in stored.histories.items() if h.hop_ms == self._hop_ms}
        before = self._users.get(name)
        user = self._users[name] = _CachedUser(stored.seq, UserState(stored.baseline, histories), known=True)
        self._unknown.discard(name)
        if before is not None:
            # Windows published while Redis was away: fold them now, but none that was folded before that.
            user.changed = before.changed
            if name in self._dirty:
                self._dirty[name] = user
            for device, hop in before.waiting:
                start = hop.start_ms + hop.hop_ms - WINDOW_MS
                if device not in devices or start not in devices[device]:
                    user.state.check(device, hop)
                    user.state.update(device, hop)
                    user.checked.add(device)
        return devices

    def get(self, user: str, window_mg: NDArray[np.float64]) -> Baseline:
        """See Baselines."""
        entry = self._users[user]
        baseline = entry.state.baseline.get(window_mg, available=entry.known)
        entry.states = (baseline.accelerometer.state, baseline.heart_rate.state)
        return baseline

    def check(self, user: str, device: str, hop: Hop) -> dict[str, GapReason]:
        """See Baselines; of a user who could not be read nothing is known against."""
        entry = self._users[user]
        if not entry.known:
            return {}
        entry.checked.add(device)
        return entry.state.check(device, hop)

    def fold(self, user: str, device: str, hop: Hop) -> None:
        """See Baselines."""
        entry = self._users[user]
        if fault_injection.is_injected("stale-baseline"):
            return
        if entry.known:
            entry.state.update(device, hop)
        else:
            entry.waiting.append((device, hop))
        self._dirty[user] = entry

    def mark_final(self, user: str, device: str, hour: int) -> None:
        """The bitmap of this hour has changed."""
        entry = self._users[user]
        entry.changed.add((device, hour))
        self._dirty[user] = entry

    async def save(self, slots_of: SlotsOf) -> bool:
        """Write every user that has changed; True when nothing is left to write.

        Raises:
            LostOwnership: another worker has written one of the users since.
        """
        dirty = [(name, user) for name, user in self._dirty.items() if user.known]
        failure: RetryLater | None = None
        try:
            for some in batches(dirty):
                empty, refused = await self._write(some, slots_of, whole=False)
                if empty:
                    self._throttled.log(
                        "lost", logging.WARNING, "Redis has lost %d users: writing them again", len(empty)
                    )
                    _, again = await self._write(empty, slots_of, whole=True)
                    refused = refused or again
                failure = failure or refused
        except RetryLater as error:
            failure = error
        if failure is not None:
            metrics.REDIS_ERRORS.inc()
            self._throttled.log("write", logging.WARNING, "%s; %d folds wait", failure, self.waiting)
        # Of users that could not be read `load_missing` has said why.
        if failure is not None or not self._unknown:
            self.failure = failure
        return not self._dirty and not self._unknown

    async def _write(
        self, some: Sequence[_Named], slots_of: SlotsOf, *, whole: bool
    ) -> tuple[list[_Named], RetryLater | None]:
        """Write some users; returns those that Redis no longer has, and why it did not take others, if so."""
        outcomes = await self._store.write(
            [_user_write(name, user, slots_of, whole=whole) for name, user in some], whole=whole
        )
        if CONFLICT in outcomes:
            raise LostOwnership("another worker has written a user of this partition")
        for (name, user), outcome in zip(some, outcomes, strict=True):
            if outcome == WRITTEN:
                user.seq = (0 if whole else user.seq) + 1
                user.changed, user.checked = set(), set()
                del self._dirty[name]
        refused = next((outcome for outcome in outcomes if isinstance(outcome, RetryLater)), None)
        return [named for named, outcome in zip(some, outcomes, strict=True) if outcome == EMPTY], refused

    def unknown(self) -> list[str]:
        """Users that Redis could not be asked for."""
        return list(self._unknown)

    def forget(self, users: Iterable[str]) -> None:
        """Drop users from memory, unless something of theirs is still to be written."""
        for name in users:
            if name in self._users and name not in self._dirty:
                del self._users[name]
                self._unknown.discard(name)

    def clear(self) -> None:
        """Drop everybody: the partitions have gone to another worker."""
        self._users.clear()
        self._dirty.clear()
        self._unknown.clear()


def _user_write(name: str, user: _CachedUser, slots_of: SlotsOf, *, whole: bool) -> UserWrite:
    """What has changed, at the cost of that alone; all that is in memory where Redis has nothing."""
    slots = slots_of(name)
    # Into ``changed``, which lives until a write has succeeded: forgotten here, they must go there too.
    user.changed |= {
        (device, hour)
        for device in {device for device, _ in user.changed}
        if device in slots
        for hour in slots[device].forget_old()
    }
    places = user.changed
    if whole:
        places = places | {(device, hour) for device, closed in slots.items() for hour in closed.hours}
    held = {place: slots[place[0]].hours.get(place[1], 0) if place[0] in slots else 0 for place in places}
    checked = user.state.histories.keys() if whole else user.checked
    return UserWrite(
        name,
        user.seq,
        user.state.baseline.to_bytes(),
        hours={place: bits for place, bits in held.items() if bits},
        old=[place for place, bits in held.items() if not bits],
        histories={device: user.state.histories[device].to_bytes() for device in checked},
    )
