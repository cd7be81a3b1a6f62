"""What the assembler keeps of one (user, device)."""

from dataclasses import dataclass, field

from shared.records.gap import GapReason
from shared.records.samples import SampleRecord
from shared.windows.holds import Holds
from shared.windows.open_window import Arrival, OpenWindow
from shared.windows.presence import ClockSkew, Presence
from shared.windows.slots import ClosedSlots


@dataclass(slots=True, eq=False)
class Hole:
    """A stretch of slots without any data: reported if still empty when its linger has passed; never final."""

    first_start_ms: int
    last_start_ms: int
    due_ms: int
    reason: GapReason


@dataclass(slots=True, eq=False)
class Stream:
    """The open and the final windows of one (user, device), its holes under watch and its uploads on their way."""

    closed: ClosedSlots
    holds: Holds
    open: dict[int, OpenWindow] = field(default_factory=dict)
    holes: dict[int, Hole] = field(default_factory=dict)
    arrivals: dict[tuple[str, int], Arrival] = field(default_factory=dict)
    newest_log_ms: int = 0
    newest_upload: tuple[str, int] = ("", 0)
    presence: Presence = field(default_factory=Presence)
    skew: ClockSkew = field(default_factory=ClockSkew)

    def note(self, log_ms: int, samples: SampleRecord) -> None:
        """Remember what the newest record says of the watch."""
        self.newest_log_ms = log_ms
        self.newest_upload = (samples.session, samples.seq)
        self.presence.heard(log_ms, samples.end_ms)
        self.skew.update(samples.received_at_ms - samples.sent_at_ms)

    def has_lost_before(self, samples: SampleRecord) -> bool:
        """Whether sequence numbers are missing between the newest upload and this one."""
        session, seq = self.newest_upload
        return samples.session == session and samples.seq > seq + 1

    def has(self, window_start_ms: int) -> bool:
        """Whether this window has, or had, data."""
        return window_start_ms in self.open or window_start_ms in self.closed

    def last_before(self, window_start_ms: int) -> int | None:
        """Start of the latest window before this one that has, or had, data."""
        candidates = [start for start in self.open if start < window_start_ms]
        closed = self.closed.last_before(window_start_ms)
        return max([*candidates, *([] if closed is None else [closed])], default=None)

    def arrival_of(self, samples: SampleRecord, forget_before_ms: int) -> Arrival:
        """The upload that these samples are a part of; what no open window holds and no part renews is forgotten."""
        arrival = self.arrivals.get((samples.session, samples.seq))
        if arrival is not None and not arrival.is_forgotten(forget_before_ms):
            return arrival
        for key in [key for key, each in self.arrivals.items() if each.is_forgotten(forget_before_ms)]:
            self.holds.release(self.arrivals.pop(key))
        arrival = Arrival(samples.session, samples.seq, set(samples.modalities))
        self.arrivals[samples.session, samples.seq] = arrival
        return arrival

    def release(self, window_start_ms: int) -> None:
        """Drop an open window, and the uploads that were needed for it alone."""
        for arrival in self.open.pop(window_start_ms).arrivals:
            arrival.starts.discard(window_start_ms)
            self.forget_if_done(arrival)

    def forget_if_done(self, arrival: Arrival) -> None:
        """A repetition of an upload that has filled its windows has nothing left to complete."""
        if not arrival.missing and not arrival.starts:
            self.arrivals.pop((arrival.session, arrival.seq), None)
            self.holds.release(arrival)
