"""Verify that each window's event arrives, right and in time. No I/O and no clock: callers pass the times."""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from gaitway.canary.reference import Reference
from gaitway.canary.stream import Stream
from shared.contracts.modality import MODALITY_NAMES, WINDOW_MS

Outcome = Literal["right", "wrong", "late", "missing"]
KEEP_MS = 3_600_000
"""How long a window's verdict is kept, on the device's clock, to recognise a duplicate event."""


class EventData(msgspec.Struct):
    """The verified part of an event's data."""

    device: str
    window_start_ms: int
    window_end_ms: int
    hop_ms: int
    activity: str
    probabilities: dict[str, float]
    modalities: list[str]
    coverage: dict[str, float]
    model: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """``why`` is empty for a right event; ``latency_s`` is None for a missing one."""

    outcome: Outcome
    window_start_ms: int
    latency_s: float | None = None
    why: str = ""


@dataclass(slots=True)
class _PendingWindow:
    due_s: float
    sent_s: float


@dataclass(slots=True, eq=False)
class EventVerifier:
    """One verdict for every window of a stream; a second event of a window counts as another wrong one.

    Latency counts from the last time that the window's final upload was sent: a refused upload has reached nobody. A
    window is missing when ``missing_after_s`` have passed since its upload was first sent, accepted or not.
    """

    stream: Stream
    reference: Reference | None
    late_after_s: float
    missing_after_s: float
    _awaited: dict[int, _PendingWindow] = field(default_factory=dict)
    _done: dict[int, Outcome] = field(default_factory=dict)

    def sent(self, step: int, at_s: float) -> None:
        """Record that the ``step``-th upload is sent now, for the first time or again."""
        for start in self.stream.completed_by(step):
            if start not in self._done:
                self._awaited.setdefault(start, _PendingWindow(at_s, at_s)).sent_s = at_s

    def event(self, data: EventData, at_s: float) -> Verdict | None:
        """Return the verdict on an event; None if its window already counts as missing."""
        start = data.window_start_ms
        awaited = self._awaited.pop(start, None)
        if awaited is None:
            if self._done.get(start) == "missing":
                return None
            return Verdict("wrong", start, None, "a second event" if start in self._done else "no window of the stream")
        latency_s = max(0.0, at_s - awaited.sent_s)
        why = self._mismatch(data)
        if why:
            verdict = Verdict("wrong", start, latency_s, why)
        elif latency_s > self.late_after_s:
            verdict = Verdict("late", start, latency_s, f"came after {latency_s:.1f} s")
        else:
            verdict = Verdict("right", start, latency_s)
        self._decide(verdict)
        return verdict

    def overdue(self, at_s: float) -> list[Verdict]:
        """Return the windows that count as missing from now on."""
        late = [start for start, one in self._awaited.items() if at_s - one.due_s > self.missing_after_s]
        verdicts = [Verdict("missing", start, None, f"no event within {self.missing_after_s:g} s") for start in late]
        for verdict in verdicts:
            del self._awaited[verdict.window_start_ms]
            self._decide(verdict)
        return verdicts

    def _decide(self, verdict: Verdict) -> None:
        self._done[verdict.window_start_ms] = verdict.outcome
        oldest = verdict.window_start_ms - KEEP_MS
        self._done = {start: outcome for start, outcome in self._done.items() if start >= oldest}

    def _mismatch(self, data: EventData) -> str:
        """Say what is wrong with the event of a complete window; empty if nothing is."""
        if (data.hop_ms, data.window_end_ms - data.window_start_ms) != (self.stream.hop_ms, WINDOW_MS):
            return f"hop {data.hop_ms} ms, end {data.window_end_ms}"
        if data.modalities != list(MODALITY_NAMES) or any(data.coverage.get(name) != 1.0 for name in MODALITY_NAMES):
            return f"modalities {', '.join(data.modalities) or 'none'} with coverage {data.coverage}"
        if abs(sum(data.probabilities.values()) - 1.0) > 1e-3:
            return f"probabilities {data.probabilities}"
        since_phase_ms = data.window_start_ms - self.stream.phase_ms
        known = self.reference.activity(data.model, since_phase_ms) if self.reference else None
        if known is not None and known != data.activity:
            return f"{data.activity} where {data.model} is known to say {known}"
        return ""
