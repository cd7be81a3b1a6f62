"""The assembler's state of one (user, device)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.contracts.gap import GapReason
from shared.contracts.samples import SampleRecord
from shared.windows.connectivity import ClockSkew, Connectivity
from shared.windows.final_windows import FinalWindows
from shared.windows.open_window import OpenWindow, PendingUpload
from shared.windows.retention import RetainedOffsets

SWEEP_MS = 1_000
"""Log time between two searches for expired uploads, so that not every upload causes one."""


@dataclass(slots=True, eq=False)
class PendingGap:
    """A run of slots without data: reported if still empty after its grace period; never final."""

    first_start_ms: int
    last_start_ms: int
    due_ms: int
    reason: GapReason


@dataclass(slots=True, eq=False)
class DeviceState:
    """The open and final windows of one (user, device), its pending gaps and its pending uploads."""

    final: FinalWindows
    retained: RetainedOffsets
    open: dict[int, OpenWindow] = field(default_factory=dict)
    open_slots: FinalWindows = field(init=False)
    """The starts of ``open`` as bits, for searches without a loop."""
    pending_gaps: dict[int, PendingGap] = field(default_factory=dict)
    uploads: dict[tuple[str, int], PendingUpload] = field(default_factory=dict)
    newest_log_ms: int = 0
    newest_upload: tuple[str, int] = ("", 0)
    connectivity: Connectivity = field(default_factory=Connectivity)
    skew: ClockSkew = field(default_factory=ClockSkew)
    swept_ms: int = 0
    """Log time of the last search for expired uploads."""

    def __post_init__(self) -> None:
        self.open_slots = FinalWindows(self.final.hop_ms, phase_ms=self.final.phase_ms)

    def open_window(self, user: str, device: str, window_start_ms: int) -> OpenWindow:
        """Create a window that waits for data."""
        window = self.open[window_start_ms] = OpenWindow(user, device, window_start_ms, self.final.hop_ms)
        self.open_slots.add(window_start_ms)
        return window

    def record_upload(self, log_ms: int, samples: SampleRecord, upload: PendingUpload) -> None:
        """Record the newest sequence number, receipt and connectivity of the watch."""
        self.newest_log_ms = log_ms
        self.newest_upload = upload.key
        self.connectivity.observe(log_ms, samples.end_ms)
        self.skew.update(samples.received_at_ms - samples.sent_at_ms)

    def has_sequence_gap(self, samples: SampleRecord) -> bool:
        """Whether sequence numbers are missing between the newest upload and this one."""
        session, seq = self.newest_upload
        return samples.session == session and samples.seq > seq + 1

    def has(self, window_start_ms: int) -> bool:
        """Whether this window has or had data."""
        return window_start_ms in self.open or window_start_ms in self.final

    def last_before(self, window_start_ms: int) -> int | None:
        """Start of the latest window before this one that has or had data."""
        found = (slots.last_before(window_start_ms) for slots in (self.open_slots, self.final))
        return max((start for start in found if start is not None), default=None)

    def runs_without_data(self, first_start_ms: int, last_start_ms: int) -> Iterator[tuple[int, int]]:
        """First and last start of every run of slots without data; the work is proportional to the number of runs."""
        hop_ms = self.final.hop_ms
        data = self.open_slots.bits(first_start_ms, last_start_ms) | self.final.bits(first_start_ms, last_start_ms)
        n = (last_start_ms - first_start_ms) // hop_ms + 1
        at = 0
        while at < n:
            # Bits of slots with data, then of those without.
            at += _trailing_ones(data >> at)
            if at >= n:
                return
            rest = data >> at
            length = _trailing_ones(~rest) if rest else n - at
            yield first_start_ms + at * hop_ms, first_start_ms + (at + length - 1) * hop_ms
            at += length

    def upload_of(self, samples: SampleRecord, forget_before_ms: int) -> PendingUpload:
        """The upload that these samples are part of; expired uploads that no open window needs are dropped."""
        key = (samples.session, samples.seq)
        upload = self.uploads.get(key)
        if upload is not None:
            if not upload.is_expired(forget_before_ms):
                return upload
            self.retained.release(upload)
        if forget_before_ms >= self.swept_ms + SWEEP_MS:
            self.swept_ms = forget_before_ms
            for expired in [each for each in self.uploads.values() if each.is_expired(forget_before_ms)]:
                self.retained.release(self.uploads.pop(expired.key))
        upload = self.uploads[key] = PendingUpload(key, set(samples.modalities))
        return upload

    def release(self, window_start_ms: int) -> None:
        """Drop an open window, and the uploads that only it needed."""
        self.open_slots.discard(window_start_ms)
        for upload in self.open.pop(window_start_ms).uploads:
            upload.starts.discard(window_start_ms)
            self.forget_if_done(upload)

    def forget_if_done(self, upload: PendingUpload) -> None:
        """Forget a repeated upload whose windows are complete."""
        if not upload.missing and not upload.starts:
            self.uploads.pop(upload.key, None)
            self.retained.release(upload)


def _trailing_ones(bits: int) -> int:
    """Number of set bits below the lowest bit that is not set."""
    lowest_zero = ~bits & (bits + 1)
    return lowest_zero.bit_length() - 1
