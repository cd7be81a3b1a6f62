"""A restart in mid-stream: from what was persisted, re-reading from what was held, the same windows once more."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.contracts.gap import Gap, GapReason
from shared.contracts.grid import grid_phase_ms
from shared.contracts.window import Baseline
from shared.signal.baseline import Hop, UserBaseline
from shared.signal.user_state import UserState
from shared.signal.wear import DeviceHistory
from shared.windows.assembler import Assembler, AssemblyResult
from shared.windows.featurise import featurise
from shared.windows.merge import TOPICS, LogRecord
from tests.shared.windows.signals import (
    DEVICE,
    GRACE_MS,
    HOP_MS,
    delays_ms,
    delivered,
    edges_ms,
    pieces,
    wearers,
    with_ticks,
)

Window = tuple[str, int]
"""(user, window_start_ms)."""


@dataclass(frozen=True)
class State:
    """What outlives a worker: offsets in Kafka, final windows and baselines in Redis."""

    positions: tuple[int, ...] = (0, 0, 0)
    final: dict[str, dict[int, int]] = field(default_factory=dict)
    baselines: dict[str, bytes] = field(default_factory=dict)
    histories: dict[str, dict[str, bytes]] = field(default_factory=dict)


class Worker:
    """features without Kafka and Redis: assemble, publish, then update the baselines."""

    def __init__(self, state: State) -> None:
        self.published: dict[Window, bytes] = {}
        self.gaps: set[Gap] = set()
        self._assembler = Assembler(HOP_MS, GRACE_MS, phase_per_user=True)
        self._users = {
            user: UserState(
                UserBaseline.from_bytes(data),
                {device: DeviceHistory.from_bytes(past) for device, past in state.histories[user].items()},
            )
            for user, data in state.baselines.items()
        }
        self._released = list(state.positions)
        for user, hours in state.final.items():
            final = self._assembler.make_final(user)
            final.hours |= hours
            self._assembler.restore_final(user, DEVICE, final)

    def read(self, record: LogRecord) -> None:
        self._released[record.topic] = record.offset + 1
        self._emit(self._assembler.fold(record))

    def end(self, log_ms: int) -> None:
        self._emit(self._assembler.advance(log_ms + 2 * GRACE_MS))

    def _emit(self, closed: AssemblyResult) -> None:
        self.gaps |= set(closed.gaps)
        done = featurise(closed.windows, self)
        self.gaps |= set(done.gaps)
        for raw, record in done.windows:
            window = (raw.user, raw.window_start_ms)
            assert window not in self.published
            self.published[window] = record.encode()

    def _user(self, user: str) -> UserState:
        return self._users.setdefault(user, UserState())

    def get(self, users: Sequence[str], windows_mg: Sequence[NDArray[np.float64]]) -> list[Baseline]:
        return [self._user(user).baseline.get(mg) for user, mg in zip(users, windows_mg, strict=True)]

    def check(self, user: str, device: str, hop: Hop) -> dict[str, GapReason]:
        return self._user(user).check(device, hop)

    def update(self, user: str, device: str, hop: Hop) -> None:
        self._user(user).update(device, hop)

    def state(self) -> State:
        held = self._assembler.retained()
        return State(
            tuple(hold[0] if hold else self._released[topic] for topic, hold in enumerate(held)),
            {user: dict(s.hours) for user in USERS for s in self._assembler.final_windows(user).values()},
            {user: state.baseline.to_bytes() for user, state in self._users.items()},
            {user: {d: h.to_bytes() for d, h in state.histories.items()} for user, state in self._users.items()},
        )


def identity(gap: Gap) -> tuple[str, str, str, int, int]:
    """What names a gap; the upload before it is forgotten in a restart, and with it the reason."""
    return (gap.user, gap.device, gap.modality, gap.start_ms, gap.end_ms)


USERS = ("b", "u")
"""Of the phases 6 s and 5 s."""


@st.composite
def logs(draw: st.DrawFn) -> list[LogRecord]:
    """Two wearers whose uploads come late, out of order, twice or never, with the ticks between them."""
    sent = []
    for user in USERS:
        person, edges = draw(wearers()), draw(edges_ms(phase_ms=grid_phase_ms(user, HOP_MS)))
        lost = draw(st.frozensets(st.integers(0, len(edges) - 2), max_size=2))
        for seq, (begin, end) in enumerate(pieces(edges, lost)):
            # Mostly in order: what is 60 s of log time late finds its window closed.
            at_ms = end + draw(st.sampled_from([0, 0, 300, 4_000, 30_000, 100_000]))
            again_ms = draw(st.sampled_from([None, None, None, 10, 5_000, 90_000]))
            sent.append((at_ms, user, person.upload(begin, end, seq, received_at_ms=at_ms)))
            if again_ms is not None:
                sent.append((at_ms + again_ms, user, person.upload(begin, end, seq, received_at_ms=at_ms + again_ms)))
    sent.sort(key=lambda item: item[0])
    arrivals_ms, users, uploads = zip(*sent, strict=True)
    return with_ticks(delivered(uploads, arrivals_ms, draw(delays_ms(len(uploads))), users=users), 5_000)


def run(log: Sequence[LogRecord], state: State, until: int) -> tuple[Worker, list[State]]:
    """A worker that has read the first ``until`` records of the log, and its state before each and after the last."""
    worker, states = Worker(state), [state]
    for record in log[:until]:
        if record.offset >= state.positions[record.topic]:
            worker.read(record)
        states.append(worker.state())
    return worker, states


@settings(max_examples=40, deadline=None)
@given(st.data(), logs())
def test_a_restart_repeats_and_never_contradicts(data: st.DataObject, log: list[LogRecord]) -> None:
    undisturbed, states = run(log, State(), len(log))
    undisturbed.end(log[-1].log_ms)
    died_at = data.draw(st.integers(0, len(log)), "died at")
    persisted_at = max(0, died_at - data.draw(st.sampled_from([0, 1, 2, 5, 20]), "records since the commit"))
    # Final windows and baselines go to Redis with each publication, offsets to Kafka now and then.
    saved_at = data.draw(st.sampled_from([persisted_at, died_at]), "saved at")
    kept = states[saved_at]
    state = State(states[persisted_at].positions, kept.final, kept.baselines, kept.histories)
    dead, _ = run(log, State(), died_at)
    again, _ = run(log, state, len(log))
    again.end(log[-1].log_ms)

    assert dead.published.keys() | again.published.keys() == undisturbed.published.keys()
    for published in (dead.published, again.published):
        assert all(undisturbed.published[window] == record for window, record in published.items())
    assert {*map(identity, dead.gaps), *map(identity, again.gaps)} == {*map(identity, undisturbed.gaps)}
    if saved_at == died_at:
        assert not dead.published.keys() & again.published.keys()


@settings(max_examples=20, deadline=None)
@given(logs())
def test_a_commit_never_goes_back_and_ends_at_the_end(log: list[LogRecord]) -> None:
    worker, states = run(log, State(), len(log))
    for earlier, later in pairwise(states):
        assert all(b >= a for a, b in zip(earlier.positions, later.positions, strict=True))
    worker.end(log[-1].log_ms)
    assert worker.state().positions == tuple(sum(record.topic == topic for record in log) for topic in TOPICS)
