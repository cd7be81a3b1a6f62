"""The users of one partition in memory: the baselines that windows are computed with, and what Redis lacks of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.features.stored_user import StoredUser, UserWrite
from shared.contracts.gap import GapReason
from shared.contracts.modality import WINDOW_MS
from shared.contracts.time_limits import HOUR_MS
from shared.contracts.window import Baseline
from shared.runtime import fault_injection
from shared.signal.baseline import Hop
from shared.signal.user_state import UserState
from shared.windows.assembler import Assembler
from shared.windows.final_windows import FinalWindows


@dataclass(slots=True, eq=False)
class _CachedUser:
    seq: int
    state: UserState
    is_known: bool
    """False: not read from Redis yet; the user's windows say `unavailable` and their hops wait here."""
    waiting: list[tuple[str, Hop]] = field(default_factory=list)
    changed: set[tuple[str, int]] = field(default_factory=set)
    """(device, hour) whose bitmap must be written."""
    checked: set[str] = field(default_factory=set)
    """Devices whose history must be written."""
    states: tuple[str, str] | None = None
    """Of the accelerometer's and the heart rate's baseline that the newest window was computed with."""


class BaselineCache:
    """Implements shared.windows.featurise.Baselines; drives no I/O, which BaselineSync does for all partitions at once.

    Which windows of a user are final is not kept here but by the partition's ``assembler``: what Redis holds of them is
    given to it, and what is written is read from it.
    """

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler
        self._users: dict[str, _CachedUser] = {}
        # Those of them with something to write, and those that were not read yet: few of many.
        self._unsaved: dict[str, _CachedUser] = {}
        self._unknown: set[str] = set()

    def __len__(self) -> int:
        return len(self._users)

    def __contains__(self, user: str) -> bool:
        return user in self._users

    @property
    def is_saved(self) -> bool:
        """Whether Redis has everything of everybody."""
        return not self._unsaved and not self._unknown

    @property
    def waiting(self) -> int:
        """Updates that Redis has not taken yet."""
        return len(self._unsaved) + sum(len(self._users[name].waiting) for name in self._unknown)

    def state(self, user: str) -> UserState:
        """What is kept of one user."""
        return self._users[user].state

    def states(self) -> Counter[tuple[str, str]]:
        """Users by the states of the baselines that their newest window was computed with."""
        return Counter(user.states for user in self._users.values() if user.states is not None)

    def add(self, user: str) -> None:
        """Keep this user from now on; one who is new is unknown until ``adopt``."""
        if user not in self._users:
            self._users[user] = _CachedUser(0, UserState(), is_known=False)
            self._unknown.add(user)

    def unknown(self) -> list[str]:
        """Users that must be read from Redis."""
        return list(self._unknown)

    def adopt(self, name: str, stored: StoredUser) -> None:
        """Go on from what Redis holds of an unknown user."""
        hop_ms = self._assembler.hop_ms
        final: dict[str, FinalWindows] = {}
        for (device, hour), bits in stored.hours.items():
            final.setdefault(device, FinalWindows(hop_ms)).hours[hour] = bits
        histories = {device: h for device, h in stored.histories.items() if h.hop_ms == hop_ms}
        user = self._users[name]
        user.seq, user.state, user.is_known = stored.seq, UserState(stored.baseline, histories), True
        self._unknown.discard(name)
        # Windows published while Redis was away: its baseline lacks them, except those that were final there before.
        for device, hop in user.waiting:
            if device not in final or hop.start_ms + hop.hop_ms - WINDOW_MS not in final[device]:
                user.state.check(device, hop)
                user.state.update(device, hop)
                user.checked.add(device)
        user.waiting, user.states = [], None
        for device, windows in final.items():
            self._assembler.restore_final(name, device, windows)

    def make_unknown(self, name: str) -> None:
        """Have a user read again, though in memory: Redis holds something newer."""
        user = self._users[name]
        user.is_known, user.checked = False, set()
        self._unknown.add(name)

    def get(self, user: str, window_mg: NDArray[np.float64]) -> Baseline:
        """See Baselines."""
        cached = self._users[user]
        baseline = cached.state.baseline.get(window_mg, available=cached.is_known)
        cached.states = (baseline.accelerometer.state, baseline.heart_rate.state)
        return baseline

    def check(self, user: str, device: str, hop: Hop) -> dict[str, GapReason]:
        """See Baselines; an unknown user's window passes."""
        cached = self._users[user]
        if not cached.is_known:
            return {}
        cached.checked.add(device)
        return cached.state.check(device, hop)

    def update(self, user: str, device: str, hop: Hop) -> None:
        """See Baselines."""
        cached = self._users[user]
        if fault_injection.is_injected("stale-baseline"):
            return
        if cached.is_known:
            cached.state.update(device, hop)
        else:
            cached.waiting.append((device, hop))
        self._unsaved[user] = cached

    def mark_final(self, windows: Iterable[tuple[str, str, int]]) -> None:
        """Note that these windows, each (user, device, window_start_ms), have become final: Redis lacks them."""
        for user, device, window_start_ms in windows:
            cached = self._users[user]
            cached.changed.add((device, window_start_ms // HOUR_MS))
            self._unsaved[user] = cached

    def unsaved(self) -> list[str]:
        """Users of whom something can be written."""
        return [name for name, user in self._unsaved.items() if user.is_known]

    def to_write(self, name: str, *, whole: bool) -> UserWrite:
        """What has changed of a user, at the cost of that alone; with ``whole``, all that is in memory."""
        user, final = self._users[name], self._assembler.final_windows(name)
        # Into ``changed``, which lives until a write has succeeded: forgotten here, they must go there too.
        user.changed |= {
            (device, hour)
            for device in {device for device, _ in user.changed}
            if device in final
            for hour in final[device].forget_old()
        }
        places = user.changed
        if whole:
            places = places | {(device, hour) for device, windows in final.items() for hour in windows.hours}
        held = {place: final[place[0]].hours.get(place[1], 0) if place[0] in final else 0 for place in places}
        checked = user.state.histories.keys() if whole else user.checked
        return UserWrite(
            name,
            user.seq,
            user.state.baseline.to_bytes(),
            hours={place: bits for place, bits in held.items() if bits},
            old=[place for place, bits in held.items() if not bits],
            histories={device: user.state.histories[device].to_bytes() for device in checked},
        )

    def mark_saved(self, write: UserWrite, *, whole: bool) -> None:
        """Redis has taken what ``to_write`` gave last."""
        user = self._unsaved.pop(write.user)
        user.seq = (0 if whole else write.seq) + 1
        user.changed, user.checked = set(), set()

    def forget(self, users: Iterable[str]) -> None:
        """Drop users from memory, unless something of theirs is still to be written."""
        for name in users:
            if name in self._users and name not in self._unsaved:
                del self._users[name]
                self._unknown.discard(name)
