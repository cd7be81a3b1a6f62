"""One window that waits for data, and the uploads that bring it."""

from dataclasses import dataclass, field

from shared.contracts.modality import ACCELEROMETER, MODALITY_BY_NAME, WINDOW_MS, Modality
from shared.contracts.samples import SampleRecord
from shared.windows.merge import TOPICS, LogRecord
from shared.windows.retention import Position, oldest
from shared.windows.spans import Spans
from shared.windows.window_samples import WindowSamples


@dataclass(slots=True, eq=False)
class PendingUpload:
    """One upload in the log: its parts come one by one, each in the topic of its modality.

    ``missing``: announced but not yet arrived. ``starts``: the open windows that hold a part. No single window knows
    whether the upload is complete, so it is tracked here.
    """

    key: tuple[str, int]
    """(session, seq)."""
    missing: set[str]
    starts: set[int] = field(default_factory=set)
    newest_log_ms: int = 0
    reach_ms: float = 0.0
    """No window that ends later can be complete with this upload as its last; see `OpenWindow.is_complete`."""
    first: list[Position | None] = field(default_factory=lambda: [None for _ in TOPICS])
    """Its first record in each topic."""

    def take(self, record: LogRecord, samples: SampleRecord) -> bool:
        """Add one part, or a repetition of one; returns whether it completes the upload."""
        modality = samples.modality
        was_missing = bool(self.missing)
        self.missing.discard(modality.name)
        self.newest_log_ms = record.log_ms
        if self.first[record.topic] is None:
            self.first[record.topic] = (record.offset, record.log_ms)
        if modality is ACCELEROMETER or ACCELEROMETER.name not in samples.modalities:
            self.reach_ms = max(self.reach_ms, samples.end_ms + modality.max_step_ms)
        return was_missing and not self.missing

    def is_expired(self, before_log_ms: int) -> bool:
        """Whether no open window needs it and the time for its missing parts is over."""
        return not self.starts and self.newest_log_ms <= before_log_ms


@dataclass(slots=True, eq=False)
class OpenWindow:
    """The records with samples in [start, start + 20 s), and the uploads that they are parts of.

    Every upload adds to two or three windows but completes at most one of them, so adding only appends; what the
    records say is collected when the window may be complete, and when it closes.
    """

    user: str
    device: str
    window_start_ms: int
    hop_ms: int
    parts: list[LogRecord] = field(default_factory=list)
    """In the order of the log."""
    uploads: list[PendingUpload] = field(default_factory=list)
    incomplete: int = 0
    """Number of uploads that are not complete."""
    reach_ms: float = 0.0
    """The largest of the complete uploads."""
    _collected: int = 0
    """Number of parts in what follows."""
    _records: dict[str, list[SampleRecord]] = field(default_factory=dict)
    _announced: set[tuple[str, ...]] = field(default_factory=set)
    _source_received_at_ms: int = 0
    _utc_offset_min: int | None = None
    _traceparent: str | None = None
    _spans: dict[str, Spans] = field(default_factory=dict)

    @property
    def last_contribution_ms(self) -> int:
        """Log time of the newest record."""
        return self.parts[-1].log_ms

    def add(self, record: LogRecord, upload: PendingUpload) -> None:
        """Add one record, which is a part of ``upload``."""
        self.parts.append(record)
        if self.window_start_ms not in upload.starts:
            upload.starts.add(self.window_start_ms)
            self.uploads.append(upload)
            self.incomplete += bool(upload.missing)

    def _collect(self) -> None:
        for record in self.parts[self._collected :]:
            samples = record.samples
            assert samples is not None
            self._records.setdefault(samples.modality.name, []).append(samples)
            self._announced.add(samples.modalities)
            self._source_received_at_ms = max(self._source_received_at_ms, samples.received_at_ms)
            if samples.utc_offset_min is not None:
                self._utc_offset_min = samples.utc_offset_min
            self._traceparent = record.traceparent or self._traceparent
        self._collected = len(self.parts)

    def is_complete(self) -> bool:
        """Whether all that the uploads announced has arrived: rule (a) of architecture.md, section 4.

        It needs complete uploads, not only spans: at 1 Hz a dropout of 2.5 s is allowed, so with spans alone the order
        of the topics would decide whether the window closes before or after an upload's heart rate. The window waits
        for a heart rate with pauses only if nothing else is announced.

        Nearly all calls end at the first condition, or at the second: no upload reaches the end of the window yet.
        """
        if self.incomplete or self.reach_ms < self.window_start_ms + WINDOW_MS:
            return False
        self._collect()
        announced = [MODALITY_BY_NAME[name] for name in frozenset[str]().union(*self._announced)]
        continuous = [modality for modality in announced if modality.is_continuous]
        return all(self._spans_cover(modality) for modality in continuous or announced)

    def _spans_cover(self, modality: Modality) -> bool:
        spans = self._spans.get(modality.name)
        if spans is None:
            spans = self._spans[modality.name] = Spans(modality.max_step_ms)
        records = self._records.get(modality.name, [])
        for samples in records[spans.added :]:
            spans.add(samples.t0_ms, samples.end_ms)
        return spans.cover(self.window_start_ms, self.window_start_ms + WINDOW_MS)

    def close(self, closed_by: str) -> WindowSamples:
        """Close the window with what has arrived."""
        self._collect()
        return WindowSamples(
            self.user,
            self.device,
            self.window_start_ms,
            self.hop_ms,
            closed_by,
            self._records,
            frozenset[str]().union(*self._announced),
            self._source_received_at_ms,
            self._utc_offset_min,
            self._traceparent,
            oldest(*(upload.first for upload in self.uploads)),
        )
