"""The live pipeline without Kafka: recordings in, windows out. Log time equals event time.

``user``: whose phase of the window grid and, in the log, whose records; None: the person, with windows that start at
multiples of the hop, as training needs them.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from shared.contracts.gap import Gap
from shared.contracts.modality import MODALITIES, WINDOW_MS
from shared.contracts.upload import to_records
from shared.contracts.window import WindowRecord
from shared.windows.assembler import Assembler, AssemblyResult
from shared.windows.closed_window import ClosedWindow
from shared.windows.featurise import Baselines, MemoryBaselines, featurise
from shared.windows.merge import LogRecord
from training.datasets.recording import Label, Recording
from training.upload_simulator import uploads

HOP_MS = 10_000
GRACE_MS = 60_000


@dataclass(frozen=True, slots=True, eq=False)
class OfflineWindow:
    """One window as the live service publishes it, with the recording's labels.

    ``activity`` and ``detail`` are None unless the window lies wholly inside one label of that kind.
    """

    person: str
    raw: ClosedWindow
    record: WindowRecord
    activity: str | None
    detail: str | None


def to_log(
    recording: Recording, *, shift_ms: int = 0, first_offset: int = 0, user: str | None = None
) -> Iterator[LogRecord]:
    """The merged log of one recording, as if its uploads arrived without delay."""
    offsets = [first_offset for _ in MODALITIES]
    topics = {modality.name: index for index, modality in enumerate(MODALITIES)}
    log_ms = 0
    for upload in uploads(recording, shift_ms=shift_ms):
        log_ms = max(log_ms, upload.sent_at_ms)
        for samples in to_records(upload, upload.sent_at_ms):
            topic = topics[samples.modality.name]
            yield LogRecord(log_ms, topic, offsets[topic], user or recording.person, samples)
            offsets[topic] += 1


def assemble(
    recording: Recording, *, hop_ms: int = HOP_MS, grace_ms: int = GRACE_MS, user: str | None = None
) -> AssemblyResult:
    """All windows and gaps of one recording, in the order in which they close."""
    assembler = Assembler(hop_ms, grace_ms, phase_per_user=user is not None)
    whole = AssemblyResult()
    log_ms = 0
    for record in to_log(recording, user=user):
        log_ms = record.log_ms
        whole.extend(assembler.fold(record))
    # The end of the log: close the windows that are still open.
    whole.extend(assembler.advance(log_ms + WINDOW_MS + grace_ms))
    return whole


def offline_windows(
    recordings: Iterable[Recording],
    *,
    hop_ms: int = HOP_MS,
    baselines: Baselines | None = None,
    user: str | None = None,
) -> Iterator[OfflineWindow]:
    """Windows of recordings; a person's recordings share one causal baseline, in the order given."""
    baselines = baselines or MemoryBaselines()
    for recording in recordings:
        for raw, record in featurise(assemble(recording, hop_ms=hop_ms, user=user).windows, baselines).windows:
            activity, detail = (_label_at(kind, raw.window_start_ms) for kind in (recording.labels, recording.details))
            yield OfflineWindow(recording.person, raw, record, activity, detail)


def find_gaps(recording: Recording, *, hop_ms: int = HOP_MS, user: str | None = None) -> list[Gap]:
    """Gap records of one recording."""
    closed = assemble(recording, hop_ms=hop_ms, user=user)
    return [*closed.gaps, *featurise(closed.windows, MemoryBaselines()).gaps]


def label_at(recording: Recording, window_start_ms: int) -> str | None:
    """The label that covers the whole window, or None."""
    return _label_at(recording.labels, window_start_ms)


def _label_at(labels: Sequence[Label], window_start_ms: int) -> str | None:
    index = bisect_right(labels, float(window_start_ms), key=lambda label: label.start_ms) - 1
    if index < 0 or window_start_ms + WINDOW_MS > labels[index].end_ms:
        return None
    return labels[index].activity
