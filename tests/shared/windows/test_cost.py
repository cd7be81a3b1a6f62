"""What a record costs is bounded by its size: measured in bytecodes and bytes, which do not depend on the machine."""

import sys
import tracemalloc
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import numpy as np
import pytest

from shared.contracts.modality import ACCELEROMETER, HEART_RATE, MODALITY_BY_NAME, max_span_ms
from shared.contracts.samples import SampleRecord
from shared.windows.assembler import PART_WINDOWS, Assembler, AssemblyResult
from shared.windows.merge import LogRecord
from shared.windows.open_window import OpenWindow
from shared.windows.window_samples import resample
from tests.shared.windows.signals import BASE_MS, GRACE_MS, HOP_MS

HOUR_MS = 3_600_000
BOTH = ("accelerometer", "heart_rate")


def record(
    name: str, t0_ms: int, n: int = 1, *, seq: int = 0, rate_hz: float | None = None, announced: tuple[str, ...] = ()
) -> SampleRecord:
    modality = MODALITY_BY_NAME[name]
    fill = 0 if modality is HEART_RATE else 1_000
    return SampleRecord(
        modality=modality,
        device="watch",
        session="s",
        seq=seq,
        t0_ms=BASE_MS + t0_ms,
        rate_hz=rate_hz or float(modality.rate_hz),
        received_at_ms=BASE_MS,
        sent_at_ms=BASE_MS,
        modalities=announced or (name,),
        samples=np.full((modality.channels, n), fill, dtype=modality.dtype),
    )


def bytecodes(call: Callable[[], object]) -> int:
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def cost(records: Sequence[SampleRecord], *, every_ms: int = 1) -> int:
    """Of assembling these, one a millisecond of log time, and of closing what they leave open."""
    assembler = Assembler(HOP_MS, GRACE_MS)
    log = [
        LogRecord(BASE_MS + at * every_ms, int(r.modality is not ACCELEROMETER), at, "u", r)
        for at, r in enumerate(records)
    ]

    def fold() -> None:
        for each in log:
            assembler.fold(each)
            assembler.retained()
        assembler.advance(log[-1].log_ms + 2 * GRACE_MS)

    return bytecodes(fold)


def one_window(k: int) -> list[SampleRecord]:
    """Uploads of one sample, all in one window, in an order that leaves as many pieces as there can be."""
    return [record("accelerometer", (at * 7_919) % 500 * 40, seq=at) for at in range(k)]


def one_window_waiting(k: int) -> list[SampleRecord]:
    """The same, behind an upload whose other part never comes."""
    first = record("accelerometer", 0, 500, announced=BOTH)
    return [first, *(record("accelerometer", 40 * (at % 500), seq=at + 1) for at in range(k))]


def scattered(k: int) -> list[SampleRecord]:
    """Uploads of one sample a minute apart, so that every window stays open."""
    return [record("accelerometer", (at * 61 % k) * 60_000, seq=at) for at in range(k)]


def one_number(k: int) -> list[SampleRecord]:
    """The same, all as parts of one upload."""
    return [record("accelerometer", (at * 61 % k) * 60_000, seq=7) for at in range(k)]


def halves(k: int) -> list[SampleRecord]:
    """Uploads of which one part never comes."""
    return [record("heart_rate", at * 60_000, seq=at, announced=BOTH) for at in range(k)]


def repeated(k: int) -> list[SampleRecord]:
    """Two samples again and again at the same times."""
    return [record("accelerometer", 80 * (at % 250), 2, seq=at) for at in range(k)]


@pytest.mark.parametrize("hostile", [one_window, one_window_waiting, scattered, one_number, halves, repeated])
def test_the_cost_of_a_record_does_not_grow_with_what_came_before(hostile: Callable[[int], list[SampleRecord]]) -> None:
    assert cost(hostile(1_200)) < 2.5 * cost(hostile(600))


def test_the_cost_of_a_gap_does_not_grow_with_its_length() -> None:
    def gap(length_ms: int) -> int:
        return cost([record("accelerometer", 0), record("accelerometer", length_ms, seq=1)])

    assert gap(7 * 24 * HOUR_MS) < 3 * gap(HOUR_MS)


def test_closing_a_window_costs_what_the_window_holds() -> None:
    day = record("heart_rate", 0, 86_400)
    assert day.samples.shape[1] * 1000 / day.rate_hz == max_span_ms(1.0)
    window = OpenWindow("u", "watch", BASE_MS + HOUR_MS, HOP_MS)
    window.parts = [LogRecord(BASE_MS, 1, 0, "u", day)]
    tracemalloc.start()
    try:
        resample([window.close("grace")])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The record has 86,400 stamps, of 8 bytes each.
    assert peak < 100_000


def test_large_record_is_assembled_in_parts_of_a_bounded_size() -> None:
    large = LogRecord(BASE_MS, 1, 0, "u", record("heart_rate", 0, 86_400))
    out = AssemblyResult()
    parts = Assembler(HOP_MS, GRACE_MS).fold_in_parts(large, out)
    finals = [0, *(len(out.final) for _ in parts), 86_400 // 10 + 1]
    assert len(out.final) == finals[-1]
    assert max(np.diff(finals)) <= PART_WINDOWS
