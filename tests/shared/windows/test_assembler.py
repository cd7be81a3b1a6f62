"""When a window closes, and what comes of it (architecture.md, section 4)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.modality import ACCELEROMETER, MODALITIES, MODALITY_BY_NAME
from shared.contracts.samples import SampleRecord
from shared.windows.assembler import Assembler, AssemblyResult
from shared.windows.closed_window import ClosedWindow
from shared.windows.final_windows import FinalWindows
from shared.windows.merge import LogRecord
from shared.windows.spans import Spans
from shared.windows.window_samples import WindowSamples, _even_signals, _Uneven
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

TOPIC = {modality.name: topic for topic, modality in enumerate(MODALITIES)}
ALL = tuple(TOPIC)
ACCELEROMETER_ONLY = ("accelerometer",)


def part(
    name: str, begin_ms: float, end_ms: float, *, seq: int = 0, announced: Sequence[str] = (), **more: Any
) -> SampleRecord:
    """One modality of one upload at its own rate; times relative to BASE_MS."""
    modality = MODALITY_BY_NAME[name]
    n = round((end_ms - begin_ms) * modality.rate_hz / 1000)
    values = np.arange(modality.channels * n).reshape(modality.channels, n) % 50 + 60
    fields = {
        "modality": modality,
        "device": DEVICE,
        "session": "s",
        "seq": seq,
        "t0_ms": BASE_MS + round(begin_ms),
        "rate_hz": float(modality.rate_hz),
        "received_at_ms": BASE_MS,
        "sent_at_ms": BASE_MS,
        "modalities": tuple(announced) or (name,),
        "samples": values.astype(modality.dtype),
    }
    return SampleRecord(**(fields | more))


class Feed:
    """Folds parts into an assembler, in the order given; log time in ms after BASE_MS."""

    def __init__(self, hop_ms: int = HOP_MS) -> None:
        self.assembler = Assembler(hop_ms, GRACE_MS)
        self._offsets = [0, 0, 0]

    def send(self, log_ms: int, *parts: SampleRecord, user: str = "u") -> AssemblyResult:
        out = AssemblyResult()
        for samples in parts:
            topic = TOPIC[samples.modality.name]
            out.extend(self.assembler.fold(LogRecord(BASE_MS + log_ms, topic, self._offsets[topic], user, samples)))
            self._offsets[topic] += 1
        return out

    def tick(self, log_ms: int) -> AssemblyResult:
        return self.assembler.fold(LogRecord(BASE_MS + log_ms, 0, 10_000))

    def retained(self) -> list[tuple[int, int] | None]:
        """Offset and log time after BASE_MS per topic."""
        return [hold and (hold[0], hold[1] - BASE_MS) for hold in self.assembler.retained()]


def starts_s(closed: AssemblyResult) -> list[int]:
    return [(window.window_start_ms - BASE_MS) // 1000 for window in closed.windows]


def gaps(closed: AssemblyResult) -> list[tuple[str, int, int, str]]:
    return [(g.modality, (g.start_ms - BASE_MS) // 1000, (g.end_ms - BASE_MS) // 1000, g.reason) for g in closed.gaps]


# Rule (a)


def test_a_window_closes_with_the_last_part_that_its_upload_announced() -> None:
    feed = Feed()
    accelerometer, heart_rate, steps = (part(name, 0, 20_000, announced=ALL) for name in ALL)
    assert starts_s(feed.send(1, steps)) == []
    assert starts_s(feed.send(2, accelerometer)) == []
    closed = feed.send(3, heart_rate)
    assert starts_s(closed) == [0]
    window = closed.windows[0]
    assert (window.closed_by, window.announced) == ("complete", frozenset(ALL))
    for name, samples in zip(ALL, (accelerometer, heart_rate, steps), strict=True):
        np.testing.assert_array_equal(window.signals[name].values, samples.samples)
        assert window.signals[name].coverage == 1.0
    assert closed.gaps == []
    assert closed.final == [("u", DEVICE, BASE_MS)]


def test_the_newest_receipt_counts_whatever_came_last() -> None:
    feed = Feed()
    feed.send(0, part("accelerometer", 0, 10_000, received_at_ms=BASE_MS + 7, utc_offset_min=120))
    window = feed.send(1, part("accelerometer", 10_000, 20_000, seq=1, received_at_ms=BASE_MS + 5)).windows[0]
    assert (window.source_received_at_ms, window.utc_offset_min) == (BASE_MS + 7, 120)


def test_what_was_not_announced_is_not_waited_for() -> None:
    closed = Feed().send(0, part("accelerometer", 0, 20_000))
    assert starts_s(closed) == [0]
    assert not closed.windows[0].signals["heart_rate"].passes
    assert closed.gaps == []


@pytest.mark.parametrize(
    ("name", "gap_ms", "closes"),
    [
        ("accelerometer", 250, True),
        ("accelerometer", 251, False),
        ("steps", 2_500, True),
        ("steps", 2_501, False),
        # A heart rate may come on change only: nothing waits for it.
        ("heart_rate", 15_000, True),
    ],
)
@pytest.mark.parametrize("at_ms", [0, 10_000, 20_000], ids=["begin", "middle", "end"])
def test_spans_may_leave_a_small_gap(name: str, gap_ms: int, closes: bool, at_ms: int) -> None:
    feed = Feed()
    both = ("accelerometer", "steps" if name == "accelerometer" else name)
    begin_ms, end_ms = {0: (0, gap_ms), 10_000: (10_000, 10_000 + gap_ms), 20_000: (20_000 - gap_ms, 20_000)}[at_ms]
    step_ms = 1000 // MODALITY_BY_NAME[name].rate_hz
    # A span ends a period behind its last stamp: place the stamps so that it ends exactly where the gap begins.
    before = part(name, begin_ms % step_ms, begin_ms, announced=both)
    after = part(name, end_ms, end_ms + 60_000, announced=both)
    other = part(both[name == both[0]], 0, 60_000, announced=both)
    closed = feed.send(0, other, *(samples for samples in (before, after) if samples.n))
    assert (0 in starts_s(closed)) == closes


def test_nulls_count_as_arrived() -> None:
    both = ("accelerometer", "heart_rate")
    nulls = part("heart_rate", 0, 20_000, announced=both, samples=np.zeros((1, 20), dtype="u1"))
    closed = Feed().send(0, part("accelerometer", 0, 20_000, announced=both), nulls)
    assert starts_s(closed) == [0]
    assert gaps(closed) == [("heart_rate", 0, 20, "sensor_silent")]


def test_uploads_that_overlap_in_time_are_waited_for_as_a_whole() -> None:
    """The second upload's heart rate is within rule (a)'s 2.5 s: its absence must still be seen."""
    feed = Feed()
    both = ("accelerometer", "heart_rate")
    feed.send(0, *(part(name, 0, 18_000, seq=0, announced=both) for name in both))
    accelerometer, heart_rate = (part(name, 18_000, 23_000, seq=1, announced=both) for name in both)
    assert starts_s(feed.send(1, accelerometer)) == []
    assert starts_s(feed.send(2, heart_rate)) == [0]


def test_a_part_that_lies_in_another_window_completes_the_upload() -> None:
    """The upload reaches [0, 20) with its accelerometer alone; its heart rate begins at 20 s."""
    both = ("accelerometer", "heart_rate")
    for heart_first in (True, False):
        feed = Feed()
        feed.send(0, *(part(name, 0, 19_500, seq=0, announced=both) for name in both))
        parts = [part("accelerometer", 19_500, 22_000, seq=1, announced=both)]
        parts.insert(0 if heart_first else 1, part("heart_rate", 20_000, 22_000, seq=1, announced=both))
        assert starts_s(feed.send(1, parts[0])) == []
        assert starts_s(feed.send(2, parts[1])) == [0]


def test_an_upload_twice_with_its_parts_in_between() -> None:
    feed = Feed()
    upload = [part(name, 0, 25_000, announced=ALL) for name in ALL]
    assert starts_s(feed.send(0, *(samples for samples in upload for _ in range(2)))) == [0]
    rest = [part(name, 25_000, 30_000, seq=1, announced=ALL) for name in ALL]
    assert starts_s(feed.send(1, *rest)) == [10]


def test_a_stamp_on_the_windows_edge_belongs_to_it() -> None:
    """At 30 Hz the last stamp, t0 + 150 / 30 s, is computed from a period that has no exact float."""
    feed = Feed()
    feed.send(0, part("accelerometer", -5_000, 33, rate_hz=30.0, samples=np.full((3, 151), 500, dtype="<i2")))
    rest = np.full((3, 599), 100, dtype="<i2")
    closed = feed.send(1, part("accelerometer", 33, 20_000, seq=1, rate_hz=30.0, samples=rest))
    assert closed.windows[0].signals["accelerometer"].values[0, 0] == 500


# Rule (b)


def test_an_incomplete_window_waits_the_grace_period_after_its_last_contribution() -> None:
    feed = Feed()
    feed.send(0, part("accelerometer", 0, 19_700))
    feed.send(5_000, part("accelerometer", 3_000, 4_000, seq=1))
    assert starts_s(feed.tick(GRACE_MS + 4_999)) == []
    closed = feed.tick(GRACE_MS + 5_000)
    assert starts_s(closed) == [0]
    assert closed.windows[0].closed_by == "grace"


def test_log_time_closes_before_the_record_that_brings_it_contributes() -> None:
    feed = Feed()
    feed.send(0, part("accelerometer", 0, 19_400))
    closed = feed.send(GRACE_MS, part("accelerometer", 19_400, 20_000, seq=1))
    assert starts_s(closed) == [0]
    assert closed.windows[0].signals["accelerometer"].coverage < 1.0


def test_an_announced_modality_that_never_comes_is_masked() -> None:
    feed = Feed()
    feed.send(0, part("accelerometer", 0, 20_000, announced=("accelerometer", "heart_rate")))
    closed = feed.tick(GRACE_MS)
    assert starts_s(closed) == [0]
    assert ("heart_rate", 0, 20, "not_sent") in gaps(closed)


def test_without_an_accelerometer_that_passes_there_is_no_window_but_a_gap() -> None:
    feed = Feed(hop_ms=20_000)
    closed = feed.send(0, part("accelerometer", 0, 15_000), part("heart_rate", 20_000, 40_000, seq=1))
    # All that the second upload announced is here.
    assert gaps(closed) == [("accelerometer", 20, 40, "sensor_silent")]
    closed.extend(feed.tick(GRACE_MS))
    assert closed.windows == []
    assert gaps(closed)[1:] == [("accelerometer", 0, 20, "coverage")]
    assert closed.gaps[1].coverage == pytest.approx(0.76, abs=0.01)
    assert [start - BASE_MS for _, _, start in closed.final] == [20_000, 0]


# Final, late


def test_a_closed_window_is_final_and_what_comes_later_is_counted() -> None:
    feed = Feed()
    feed.send(0, part("accelerometer", 0, 20_000))
    feed.tick(GRACE_MS)  # closes the two halves, [-10, 10) and [10, 30), as well
    closed = feed.send(GRACE_MS + 1, part("accelerometer", 5_000, 8_000, seq=1))
    assert closed.windows == closed.gaps == closed.final == []
    assert closed.late_samples == {"accelerometer": 75}
    assert feed.assembler.open_windows == 0


def test_what_still_serves_an_open_window_is_not_late() -> None:
    feed = Feed()
    feed.send(0, part("accelerometer", 0, 20_000))
    assert feed.send(1, part("accelerometer", 15_000, 16_000, seq=1)).late_samples == {}


def test_samples_whose_time_was_there_already_count_once_each() -> None:
    feed, both, whole = Feed(), ("accelerometer", "steps"), AssemblyResult()
    # 4 s are sent again: they lie in two windows, and in the newest hop of one.
    for seq, (begin, end) in enumerate([(-10_000, 8_000), (4_000, 12_000), (12_000, 40_000)]):
        whole.extend(feed.send(seq, *(part(name, begin, end, seq=seq, announced=both) for name in both)))
    assert sorted(starts_s(whole)) == [-10, 0, 10, 20]
    assert whole.repeated_samples == {"accelerometer": 100, "steps": 4}
    assert whole.late_samples == {}


def test_a_clock_that_is_not_quite_even_repeats_nothing() -> None:
    feed = Feed()
    closed = feed.send(0, *(part("accelerometer", s, s + 5_000) for s in range(0, 40_000, 4_980)))
    closed.extend(feed.tick(GRACE_MS))
    assert starts_s(closed)
    assert closed.repeated_samples == {}


def test_closed_slots_survive_a_restart() -> None:
    feed = Feed()
    closed = feed.send(0, part("accelerometer", 0, 20_000))
    slots = feed.assembler.final_windows("u")[DEVICE]
    assert {start for _, _, start in closed.final} == {BASE_MS}
    again = Feed()
    again.assembler.restore_final("u", DEVICE, FinalWindows(HOP_MS, slots.hours))
    assert starts_s(again.send(0, part("accelerometer", 0, 20_000))) == []
    assert again.assembler.open_windows == 2


def test_slots_that_come_after_the_data() -> None:
    """Redis was away when the user's first record was folded."""
    feed = Feed()
    feed.send(0, part("accelerometer", 0, 15_000))
    slots = FinalWindows(HOP_MS)
    slots.add(BASE_MS)
    feed.send(0, part("accelerometer", 60_000, 80_000, seq=1))
    feed.assembler.restore_final("u", DEVICE, slots)
    assert starts_s(feed.send(1, part("accelerometer", 15_000, 30_000, seq=2))) == [10]
    closed = feed.assembler.final_windows("u")[DEVICE]
    assert all(BASE_MS + start_ms in closed for start_ms in (0, 10_000, 60_000))


# Gaps


def test_gap_is_reported_once_its_grace_period_has_passed() -> None:
    feed = Feed()
    feed.send(0, part("accelerometer", 0, 20_000))
    feed.send(1_000, part("accelerometer", 60_000, 80_000, seq=1))
    assert gaps(feed.tick(GRACE_MS)) == [("accelerometer", -10, 10, "coverage"), ("accelerometer", 10, 30, "coverage")]
    # Three slots of silence, whose neighbours reach 10 s into it: together the gaps leave nothing out.
    assert gaps(feed.tick(GRACE_MS + 1_000)) == [
        ("accelerometer", 30, 50, "not_sent"),
        ("accelerometer", 50, 70, "coverage"),
        ("accelerometer", 70, 90, "coverage"),
    ]


def test_the_time_without_data_is_counted_once_though_windows_overlap() -> None:
    feed = Feed()
    whole = AssemblyResult()
    whole.extend(feed.send(0, part("accelerometer", 0, 20_000)))
    whole.extend(feed.send(1_000, part("accelerometer", 60_000, 80_000, seq=1)))
    whole.extend(feed.tick(GRACE_MS + 1_000))
    # Four windows of coverage, which are reported as 20 s each and follow each other by 10 s; a gap of 20 s.
    assert whole.gap_ms == {("accelerometer", "coverage"): 40_000, ("accelerometer", "not_sent"): 20_000}


def test_gap_that_is_filled_in_time_is_not_reported() -> None:
    feed = Feed()
    feed.send(0, part("accelerometer", 0, 20_000))
    feed.send(1_000, part("accelerometer", 60_000, 80_000, seq=1))
    closed = feed.send(2_000, part("accelerometer", 20_000, 60_000, seq=2))
    assert starts_s(closed) == [10, 20, 30, 40, 50]
    assert all(reason != "not_sent" for *_, reason in gaps(feed.tick(2 * GRACE_MS)))


def test_back_filled_data_split_a_gap_in_two() -> None:
    feed = Feed(hop_ms=20_000)
    feed.send(0, part("accelerometer", 0, 20_000))
    feed.send(1, part("accelerometer", 200_000, 220_000, seq=1))
    assert starts_s(feed.send(2, part("accelerometer", 100_000, 120_000, seq=2))) == [100]
    found = {gap for gap in gaps(feed.tick(GRACE_MS + 2)) if gap[3] == "not_sent"}
    assert found == {("accelerometer", 20, 100, "not_sent"), ("accelerometer", 120, 200, "not_sent")}


# Commits


def test_the_commit_is_held_at_the_oldest_record_that_an_open_window_needs() -> None:
    feed = Feed()
    assert feed.retained() == [None, None, None]
    for seq, begin in enumerate(range(0, 40_000, 5_000)):
        feed.send(begin, *(part(name, begin, begin + 5_000, seq=seq, announced=ALL[:2]) for name in ALL[:2]))
    # [-10, 10) has never been complete.
    assert feed.retained() == [(0, 0), (0, 0), None]
    feed.tick(GRACE_MS + 5_000)
    # Open: [30, 50) alone, [20, 40) is done.
    assert feed.retained() == [(6, 30_000), (6, 30_000), None]
    feed.tick(GRACE_MS + 40_000)
    assert feed.retained() == [None, None, None]


def test_a_repetition_does_not_move_the_hold() -> None:
    feed = Feed()
    for log_ms in (0, 5_000):
        feed.send(log_ms, part("accelerometer", 0, 15_000))
    assert feed.retained() == [(0, 0), None, None]


def test_half_an_upload_is_held_for_its_other_half() -> None:
    """Its windows are final already, but the other half may open one, which then must know of the first."""
    both = ("accelerometer", "heart_rate")
    feed = Feed(hop_ms=20_000)
    feed.send(0, *(part(name, 0, 20_000, seq=0, announced=both) for name in both))
    feed.send(1_000, part("heart_rate", 10_000, 20_000, seq=1, announced=both))
    assert feed.retained() == [None, (1, 1_000), None]
    feed.send(2_000, part("accelerometer", 10_000, 22_000, seq=1, announced=both))
    assert feed.retained() == [(1, 2_000), (1, 1_000), None]
    feed.tick(GRACE_MS + 2_000)
    assert feed.retained() == [None, None, None]


def test_the_other_half_is_not_held_for_ever() -> None:
    feed = Feed(hop_ms=20_000)
    feed.send(0, part("accelerometer", 0, 20_000))
    feed.send(1_000, part("accelerometer", 0, 20_000, seq=1, announced=ALL))
    assert feed.retained() == [(1, 1_000), None, None]
    feed.tick(GRACE_MS + 1_000)
    assert feed.retained() == [None, None, None]


def test_gap_not_yet_reported_holds_the_commit() -> None:
    feed = Feed(hop_ms=20_000)
    feed.send(0, part("accelerometer", 0, 20_000))
    feed.send(1_000, part("accelerometer", 60_000, 80_000, seq=1))
    assert feed.assembler.open_windows == 0
    assert feed.retained() == [(1, 1_000), None, None]
    feed.tick(GRACE_MS + 1_000)
    assert feed.retained() == [None, None, None]


# Users


def test_idle_users_are_forgotten_unless_something_is_open() -> None:
    feed = Feed(hop_ms=20_000)
    feed.send(0, part("accelerometer", 0, 20_000), user="done")
    feed.send(0, part("accelerometer", 0, 10_000), user="open")
    feed.send(0, part("accelerometer", 0, 20_000), user="busy")
    feed.send(9_000, part("accelerometer", 20_000, 40_000), user="busy")
    assert feed.assembler.forget_idle(BASE_MS + 9_000) == ["done"]
    assert feed.assembler.final_windows("done") == {}
    assert feed.assembler.open_windows == 1


def test_a_user_whose_upload_is_half_here_is_not_forgotten() -> None:
    feed = Feed(hop_ms=20_000)
    feed.send(0, part("accelerometer", 0, 20_000))
    feed.send(1_000, part("accelerometer", 0, 20_000, seq=1, announced=ALL))
    assert feed.assembler.forget_idle(BASE_MS + 2_000) == []
    feed.tick(GRACE_MS + 1_000)
    assert feed.assembler.forget_idle(BASE_MS + 2_000) == ["u"]


def test_a_user_who_is_forgotten_and_comes_back() -> None:
    feed = Feed(hop_ms=20_000)
    feed.send(0, part("accelerometer", 0, 20_000))
    feed.assembler.forget_idle(BASE_MS + 1)
    feed.send(10_000, part("accelerometer", 0, 15_000))
    feed.tick(GRACE_MS)
    assert gaps(feed.tick(GRACE_MS + 10_000)) == [("accelerometer", 0, 20, "coverage")]


def same(a: AssemblyResult, b: AssemblyResult) -> bool:
    return [fields(w) for w in a.windows] == [fields(w) for w in b.windows] and (a.gaps, a.final) == (b.gaps, b.final)


def fields(window: ClosedWindow) -> tuple[object, ...]:
    values = (*(window.signals[name].values.tobytes() for name in ALL),)
    return (window.user, window.window_start_ms, window.closed_by, values)


@settings(max_examples=25, deadline=None)
@given(st.data(), wearers(), edges_ms(), st.integers(100, 7_000))
def test_ticks_change_nothing(data: st.DataObject, person: Wearer, edges: list[int], every_ms: int) -> None:
    uploads = [person.upload(*span, seq) for seq, span in enumerate(pieces(edges, frozenset({1, 4})))]
    order = data.draw(st.permutations(uploads))
    arrivals_ms = sorted(data.draw(st.lists(st.integers(0, 150_000), min_size=len(order), max_size=len(order))))
    log = delivered(order, arrivals_ms, data.draw(delays_ms(len(order))))
    assert same(fold(log), fold(with_ticks(log, every_ms)))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_users_do_not_see_each_other(data: st.DataObject) -> None:
    logs = []
    for seed, user in enumerate(("a", "b")):
        uploads = [wearer(seed).upload(begin, begin + 5_000, begin) for begin in range(0, 70_000, 5_000)]
        order = data.draw(st.permutations(uploads))
        arrivals_ms = sorted(data.draw(st.lists(st.integers(0, 150_000), min_size=len(order), max_size=len(order))))
        logs.append(delivered(order, arrivals_ms, data.draw(delays_ms(len(order))), users=[user] * len(order)))
    together = fold(sorted([*logs[0], *logs[1]], key=lambda r: (r.log_ms, r.topic, r.user, r.offset)))
    for log in logs:
        user = log[0].user
        alone = fold(log)
        assert [fields(w) for w in alone.windows] == [fields(w) for w in together.windows if w.user == user]
        assert alone.gaps == [gap for gap in together.gaps if gap.user == user]


@given(st.integers(0, 39), st.integers(1, 3), st.sampled_from([25, 32]), st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_fast_way_through_an_even_window_gives_the_same_bits(phase_ms, parts, rate_hz, with_gap):
    """A window whose records follow each other without a gap, and one that does not, by both ways."""
    made = wearer(phase_ms, seconds=40, rate_hz=rate_hz, phases_ms=(phase_ms, 500, 0))
    records: dict[str, list[SampleRecord]] = {}
    edges = [0, *(25_000 * n // parts for n in range(1, parts + 1))]
    for seq, (begin, end) in enumerate(pairwise(edges)):
        for samples in made.upload(begin + 2_000 * (with_gap and seq == 1), end, seq):
            records.setdefault(samples.modality.name, []).append(samples)
    window = WindowSamples("u", DEVICE, BASE_MS, HOP_MS, "complete", records, frozenset(records), 0, None, None, [])
    for modality in MODALITIES:
        (even,), (uneven, _) = _even_signals(modality, [window]), _Uneven(window).signal(modality)
        if modality is ACCELEROMETER and rate_hz == 25 and not (with_gap and parts > 1):
            assert even is not None
        if even is not None:
            assert even.values.tobytes() == uneven.values.tobytes()
            assert (even.covered.all(), even.coverage, even.passes) == (uneven.covered.all(), 1.0, uneven.passes)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), max_size=25),
    st.sampled_from([0, 5]),
    st.integers(0, 320),
    st.integers(11, 60),  # a window is longer than two bridges
)
def test_spans_are_united_as_by_going_through_them(parts, bridge, begin, length):
    spans = Spans(float(bridge))
    covered = set()
    for start, size in parts:
        spans.add(start, start + size)
        covered |= set(range(start, start + size))
    united: list[list[int]] = []
    for start, end in sorted((start, start + size) for start, size in parts):
        if united and start - united[-1][1] <= bridge:
            united[-1][1] = max(united[-1][1], end)
        else:
            united.append([start, end])
    assert [spans._begins, spans._ends] == [[b for b, _ in united], [e for _, e in united]]
    reached = float(begin)
    for b, e in united:
        if b - reached <= bridge:
            reached = max(reached, e)
    assert spans.cover(begin, begin + length) == (begin + length - reached <= bridge)
    if not bridge:
        times = np.arange(begin, begin + length, dtype=np.float64)
        assert spans.retain(times).tolist() == [int(t) in covered for t in times]
        assert spans.meet(begin, begin + length) == bool(covered & set(range(begin, begin + length)))
