"""The users of one partition in memory: the baselines for their windows, and the updates that Redis lacks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.features.stored_user import StoredUser, UserWrite
from shared.contracts.gap import GapReason
from shared.contracts.modality import WINDOW_MS
from shared.contracts.time_limits import HOUR_MS
from shared.contracts.window import Baseline
from shared.runtime import fault_injection
from shared.signal.baseline import Hop, get_baselines
from shared.signal.user_state import UserState
from shared.windows.assembler import Assembler
from shared.windows.final_windows import FinalWindows
from shared.windows.merge import TOPICS
from shared.windows.retention import Position, oldest


@dataclass(slots=True, eq=False)
class _CachedUser:
    seq: int
    state: UserState
    is_known: bool
    """False: not read from Redis yet; windows have state `unavailable` and hops wait here."""
    waiting: list[tuple[str, Hop]] = field(default_factory=list)
    changed: set[tuple[str, int]] = field(default_factory=set)
    """(device, hour) whose bitmap must be written."""
    checked: set[str] = field(default_factory=set)
    """Devices whose history must be written."""
    states: tuple[str, str] | None = None
    """States of the accelerometer's and the heart rate's baseline in the newest window."""
    unsaved_since_ms: int = 0
    """Log time of the first change that Redis lacks."""
    needed: list[Position | None] = field(default_factory=lambda: [None for _ in TOPICS])
    """Per topic, the oldest record that a restart needs to make the unsaved windows again."""


class BaselineCache:
    """Implementation of shared.windows.featurise.Baselines without I/O, which BaselineSync does for all partitions.

    The final windows of a user are in the partition's ``assembler``, not here: those read from Redis go to it, and
    those to write come from it.

    A user's changes are written together once the first of them is ``save_after_ms`` of log time old. Until then a
    restart makes them again from the log, see ``retained``.
    """

    def __init__(self, assembler: Assembler, save_after_ms: int = 0) -> None:
        self.log_ms = 0
        """Set by the partition, whose log time it is."""
        self._assembler = assembler
        self._save_after_ms = save_after_ms
        self._users: dict[str, _CachedUser] = {}
        # Users with something to write, in the order of ``unsaved_since_ms``, and users not read yet.
        self._unsaved: dict[str, _CachedUser] = {}
        self._unknown: set[str] = set()

    def __len__(self) -> int:
        return len(self._users)

    def __contains__(self, user: str) -> bool:
        return user in self._users

    @property
    def is_saved(self) -> bool:
        """Whether no user must be read, and none is due to be written."""
        return not self._unknown and next(self._due(), None) is None

    @property
    def waiting(self) -> int:
        """Number of updates that are due but not in Redis yet."""
        return sum(1 for _ in self._due()) + sum(len(self._users[name].waiting) for name in self._unknown)

    def state(self, user: str) -> UserState:
        """Return the state of one user."""
        return self._users[user].state

    def states(self) -> Counter[tuple[str, str]]:
        """Count users by the baseline states of their newest window."""
        return Counter(user.states for user in self._users.values() if user.states is not None)

    def add(self, user: str) -> None:
        """Add a user; a new one is unknown until ``adopt``."""
        if user not in self._users:
            self._users[user] = _CachedUser(0, UserState(), is_known=False)
            self._unknown.add(user)

    def unknown(self) -> list[str]:
        """Return the users that must be read from Redis."""
        return list(self._unknown)

    def adopt(self, name: str, stored: StoredUser) -> None:
        """Continue from the stored data of an unknown user."""
        hop_ms = self._assembler.hop_ms
        final: dict[str, FinalWindows] = {}
        for (device, hour), bits in stored.hours.items():
            if device not in final:
                final[device] = self._assembler.make_final(name)
            final[device].hours[hour] = bits
        histories = {device: h for device, h in stored.histories.items() if h.hop_ms == hop_ms}
        user = self._users[name]
        user.seq, user.state, user.is_known = stored.seq, UserState(stored.baseline, histories), True
        self._unknown.discard(name)
        # The stored baseline lacks the windows published during an outage, except those already final in Redis.
        for device, hop in user.waiting:
            if device not in final or hop.start_ms + hop.hop_ms - WINDOW_MS not in final[device]:
                user.state.check(device, hop)
                user.state.update(device, hop)
                user.checked.add(device)
        user.waiting, user.states = [], None
        for device, windows in final.items():
            self._assembler.restore_final(name, device, windows)

    def make_unknown(self, name: str) -> None:
        """Mark a user to be read again, because Redis has newer data."""
        user = self._users[name]
        user.is_known, user.checked = False, set()
        self._unknown.add(name)

    def get(self, users: Sequence[str], windows_mg: Sequence[NDArray[np.float64]]) -> list[Baseline]:
        """Return the baselines (see Baselines)."""
        cached = [self._users[user] for user in users]
        baselines = get_baselines(
            [user.state.baseline for user in cached], windows_mg, [user.is_known for user in cached]
        )
        for user, baseline in zip(cached, baselines, strict=True):
            user.states = (baseline.accelerometer.state, baseline.heart_rate.state)
        return baselines

    def check(self, user: str, device: str, hop: Hop) -> dict[str, GapReason]:
        """Check a hop (see Baselines); an unknown user's window passes."""
        cached = self._users[user]
        if not cached.is_known:
            return {}
        cached.checked.add(device)
        return cached.state.check(device, hop)

    def update(self, user: str, device: str, hop: Hop) -> None:
        """Update the baseline (see Baselines)."""
        cached = self._users[user]
        if fault_injection.is_injected("stale-baseline"):
            return
        if cached.is_known:
            cached.state.update(device, hop)
        else:
            cached.waiting.append((device, hop))
        self._note_unsaved(user, cached)

    def _note_unsaved(self, name: str, user: _CachedUser) -> None:
        if name not in self._unsaved:
            user.unsaved_since_ms = self.log_ms
            self._unsaved[name] = user

    def _due(self) -> Iterator[str]:
        """The users whose changes are old enough to be written."""
        for name, user in self._unsaved.items():
            if user.unsaved_since_ms > self.log_ms - self._save_after_ms:
                return
            yield name

    def mark_final(self, windows: Iterable[tuple[str, str, int]]) -> None:
        """Note new final windows, each (user, device, window_start_ms), which must be written to Redis."""
        for user, device, window_start_ms in windows:
            cached = self._users[user]
            cached.changed.add((device, window_start_ms // HOUR_MS))
            self._note_unsaved(user, cached)

    def retain(self, name: str, needed: Sequence[Position | None]) -> None:
        """Note what the log must keep until the user is saved: per topic, the oldest record of a closed window."""
        self._users[name].needed = oldest(self._users[name].needed, needed)

    def retained(self) -> list[Position | None]:
        """Return per topic the oldest record that an unsaved user needs."""
        return oldest(*(user.needed for user in self._unsaved.values()))

    def unsaved(self, *, all_users: bool = False) -> list[str]:
        """Return the users with data that can be written: those that are due, or all."""
        return [name for name in (self._unsaved if all_users else self._due()) if self._users[name].is_known]

    def has_unsaved(self, name: str) -> bool:
        """Whether Redis lacks changes of the user."""
        return name in self._unsaved

    def to_write(self, name: str, *, whole: bool) -> UserWrite:
        """Return the changes of a user, at a cost proportional to them; with ``whole``, all data in memory."""
        user, final = self._users[name], self._assembler.final_windows(name)
        # Hours that are forgotten here must also be deleted in Redis; ``changed`` keeps them until a write succeeds.
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
        """Note that Redis has the latest result of ``to_write``."""
        user = self._unsaved.pop(write.user)
        user.seq = (0 if whole else write.seq) + 1
        user.changed, user.checked = set(), set()
        user.needed = [None for _ in TOPICS]

    def forget(self, users: Iterable[str]) -> None:
        """Drop users from memory, except those with unsaved changes."""
        for name in users:
            if name in self._users and name not in self._unsaved:
                del self._users[name]
                self._unknown.discard(name)
