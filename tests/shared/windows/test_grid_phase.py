"""Each user's windows have a phase of their own: the same windows as of a log that is earlier by the phase."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.grid import grid_phase_ms
from shared.contracts.time_limits import HOUR_MS
from shared.windows.assembler import Assembler, AssemblyResult
from shared.windows.final_windows import FinalWindows
from shared.windows.merge import TOPICS, LogRecord
from tests.shared.windows.signals import (
    BASE_MS,
    DEVICE,
    GRACE_MS,
    HOP_MS,
    Wearer,
    delays_ms,
    delivered,
    edges_ms,
    fold,
    pieces,
    wearer,
    wearers,
    with_ticks,
)

# Phases of 6 s and 5 s of a hop of 10 s, of 6 s and 15 s of one of 20 s.
USERS = ("b", "u")
TO_THE_HOUR_MS = HOUR_MS - BASE_MS % HOUR_MS - 30_000
"""Moves a log of BASE_MS across the end of an hour."""


def moved(log: Sequence[LogRecord], by_ms: int) -> list[LogRecord]:
    """The same log at another time: samples and log time."""
    return [
        msgspec.structs.replace(
            record,
            log_ms=record.log_ms + by_ms,
            samples=record.samples and msgspec.structs.replace(record.samples, t0_ms=record.samples.t0_ms + by_ms),
        )
        for record in log
    ]


def content(closed: AssemblyResult, by_ms: int) -> list[object]:
    """All that was closed, at another time."""
    return [
        [(w.window_start_ms + by_ms, w.closed_by, w.failed, w.resting.tobytes()) for w in closed.windows],
        [(s.values.tobytes(), s.covered.tobytes(), s.coverage) for w in closed.windows for s in w.signals.values()],
        [(g.modality, g.start_ms + by_ms, g.end_ms + by_ms, g.reason, g.coverage) for g in closed.gaps],
        [(user, device, start + by_ms) for user, device, start in closed.final],
        [closed.late_samples, closed.repeated_samples, closed.implausible_samples, closed.gap_ms],
    ]


@settings(max_examples=50, deadline=None)
@given(
    st.data(),
    # At 30 Hz a sample's time is rounded, in another way at another time.
    wearers().filter(lambda person: person.rates_hz[0] != 30),
    edges_ms(),
    st.sampled_from(USERS),
    st.sampled_from([10_000, 20_000]),
    st.sampled_from([0, TO_THE_HOUR_MS]),
)
def test_a_phase_moves_the_grid_and_changes_nothing_else(
    data: st.DataObject, person: Wearer, edges: list[int], user: str, hop_ms: int, base_ms: int
) -> None:
    lost = data.draw(st.frozensets(st.integers(0, len(edges) - 2), max_size=2), "lost")
    uploads = [person.upload(begin, end, seq) for seq, (begin, end) in enumerate(pieces(edges, lost))]
    arrivals_ms = [edges[seq + 1] for seq in range(len(uploads))]
    delays = data.draw(delays_ms(len(uploads)), "delays")
    log = with_ticks(delivered(uploads, arrivals_ms, delays, users=[user] * len(uploads)), 5_000)
    log = moved(log, base_ms)
    phase_ms = grid_phase_ms(user, hop_ms)
    with_phase = fold(log, assembler=Assembler(hop_ms, GRACE_MS, phase_per_user=True))
    earlier = fold(moved(log, -phase_ms), hop_ms=hop_ms)
    assert {window.window_start_ms % hop_ms for window in with_phase.windows} <= {phase_ms}
    assert content(with_phase, 0) == content(earlier, phase_ms)


def test_each_user_has_an_own_phase_whatever_the_other_does() -> None:
    uploads = [wearer(1).upload(begin, begin + 10_000, begin) for begin in range(0, 60_000, 10_000) for _ in USERS]
    arrivals_ms = [begin for begin in range(0, 60_000, 10_000) for _ in USERS]
    log = delivered(uploads, arrivals_ms, [(0, 0, 0)] * len(uploads), users=USERS * 6)
    assembler = Assembler(HOP_MS, GRACE_MS, phase_per_user=True)
    closed = fold(log, assembler=assembler)
    starts_s = {
        user: sorted((w.window_start_ms - BASE_MS) // 1000 for w in closed.windows if w.user == user) for user in USERS
    }
    assert starts_s == {"b": [6, 16, 26, 36], "u": [5, 15, 25, 35]}
    for user, phase_s in (("b", 6), ("u", 5)):
        # The windows that the end cuts are final, too.
        final = assembler.final_windows(user)[DEVICE]
        assert final.last_before(BASE_MS + HOUR_MS + phase_s * 1000) == BASE_MS + (50 + phase_s) * 1000


@pytest.mark.parametrize("next_ms", [30_000, 130_000], ids=["after an open window", "after a final window"])
def test_a_gap_over_empty_slots_begins_and_ends_on_the_grid_of_the_user(next_ms: int) -> None:
    """Across the end of an hour, where its first slot is found by the bits of the hour before."""
    spans = [(0, 20_000), (100_000, 130_000)]
    uploads = [wearer(1, seconds=140).upload(begin, end, seq) for seq, (begin, end) in enumerate(spans)]
    log = moved(delivered(uploads, [20_000, next_ms], [(0, 0, 0)] * 2, users=["b"] * 2), TO_THE_HOUR_MS - 60_000)
    closed = fold(log, assembler=Assembler(HOP_MS, GRACE_MS, phase_per_user=True))
    base_ms = BASE_MS + TO_THE_HOUR_MS - 60_000
    found = [
        ((gap.start_ms - base_ms) // 1000, (gap.end_ms - base_ms) // 1000)
        for gap in closed.gaps
        if gap.reason == "not_sent" and gap.modality == "accelerometer"
    ]
    # Slots from 26 s to 76 s have no sample; the windows at 16 s and 86 s reach 10 s into them.
    assert found == [(36, 86)]


class Part:
    """A worker from some records of the log on: the records that it still needs at its end, and its windows."""

    def __init__(
        self, log: Sequence[LogRecord], begin: Sequence[int], end: int, hours: dict[int, int], *, phase: bool
    ) -> None:
        self.assembler = Assembler(HOP_MS, GRACE_MS, phase_per_user=phase)
        self.assembler.restore_final("b", DEVICE, self._stored(hours))
        self.starts: list[int] = []
        positions = list(begin)
        for record in log[:end]:
            if record.offset >= begin[record.topic]:
                closed = self.assembler.fold(record)
                self.starts += [(window.window_start_ms - BASE_MS) // 1000 for window in closed.windows]
                positions[record.topic] = record.offset + 1
        held = self.assembler.retained()
        self.positions = [hold[0] if hold else positions[topic] for topic, hold in zip(TOPICS, held, strict=True)]

    def _stored(self, hours: dict[int, int]) -> FinalWindows:
        final = self.assembler.make_final("b")
        final.hours |= hours
        return final

    @property
    def hours(self) -> dict[int, int]:
        return self.assembler.final_windows("b")[DEVICE].hours


@pytest.mark.parametrize(("before", "lost"), [(False, 0), (True, 1)], ids=["switched on", "switched off"])
def test_the_switch_of_the_phases_loses_one_window_at_most_and_none_comes_twice(before: bool, lost: int) -> None:
    uploads = [wearer(1, seconds=200).upload(at, at + 5_000, at // 5_000) for at in range(0, 200_000, 5_000)]
    arrivals_ms = [at + 5_000 for at in range(0, 200_000, 5_000)]
    log = delivered(uploads, arrivals_ms, [(0, 0, 0)] * len(uploads), users=["b"] * len(uploads))
    first = Part(log, (0, 0, 0), len(log) * 2 // 3, {}, phase=before)
    second = Part(log, first.positions, len(log), first.hours, phase=not before)
    assert {start % 10 for start in first.starts} == {6 if before else 0}
    assert {start % 10 for start in second.starts} == {0 if before else 6}
    starts = first.starts + second.starts
    slots = [start // 10 for start in starts]
    # A slot has one window, on the one grid or on the other.
    assert slots == sorted(set(slots))
    assert slots[-1] - slots[0] + 1 - len(slots) == lost
    # With a hop of half a window, no time is without one.
    assert all(later - earlier <= 20 for earlier, later in pairwise(starts))
    assert starts[-1] >= 170
