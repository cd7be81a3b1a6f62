"""Contents of a data set: people, minutes per activity, modalities, coverage and gaps as in the pipeline."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from shared.contracts.modality import MODALITY_NAMES, WINDOW_MS
from shared.windows.featurise import MemoryBaselines, featurise
from training.datasets.recording import ACTIVITIES, Recording, Source
from training.offline import assemble

GapKey = tuple[str, str]
"""(modality, reason)."""


@dataclass(slots=True)
class DataSummary:
    """Totals of one person or of all people.

    ``minutes``: labelled, by activity. ``recorded_min``: from first to last sample of each recording, gaps included.
    ``windows``: of 20 s without overlap that hold any sample; ``usable``: by modality, those that reach the model with
    it. ``gap_count``, ``gap_ms``: number and length; a modality that a recording lacks has none.
    """

    recordings: int = 0
    recorded_min: float = 0.0
    minutes: Counter[str] = field(default_factory=Counter)
    windows: int = 0
    usable: Counter[str] = field(default_factory=Counter)
    has: Counter[str] = field(default_factory=Counter)
    gap_count: Counter[GapKey] = field(default_factory=Counter)
    gap_ms: Counter[GapKey] = field(default_factory=Counter)

    def add(self, other: "DataSummary") -> None:
        """Add the totals of another one."""
        self.recordings += other.recordings
        self.recorded_min += other.recorded_min
        self.windows += other.windows
        for name in ("minutes", "usable", "has", "gap_count", "gap_ms"):
            getattr(self, name).update(getattr(other, name))

    def coverage(self, modality: str) -> float | None:
        """Share of the windows that reach the model with this modality; None where there is no window."""
        return self.usable[modality] / self.windows if self.windows else None

    def to_json(self) -> dict[str, Any]:
        """Builtin types; minutes in the activities' order, rounded."""
        return {
            "recordings": self.recordings,
            "recorded_min": round(self.recorded_min, 2),
            "minutes": {name: round(self.minutes[name], 2) for name in ACTIVITIES if name in self.minutes},
            "windows": self.windows,
            "modalities": {
                name: {
                    "recordings": self.has[name],
                    "windows": self.usable[name],
                    "coverage": None if (share := self.coverage(name)) is None else round(share, 4),
                }
                for name in MODALITY_NAMES
                if self.has[name]
            },
            "gaps": [
                {
                    "modality": modality,
                    "reason": reason,
                    "count": count,
                    "seconds": round(self.gap_ms[modality, reason] / 1000),
                }
                for (modality, reason), count in sorted(self.gap_count.items())
            ],
        }


@dataclass(slots=True)
class Inspection:
    """A data set: its people by name, and what its recordings state about their source."""

    dataset: str
    people: dict[str, DataSummary] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)
    licences: set[str] = field(default_factory=set)
    devices: set[str] = field(default_factory=set)
    notes: set[tuple[str, str]] = field(default_factory=set)
    synthetic: bool = False

    @property
    def total(self) -> DataSummary:
        """Totals of all people."""
        total = DataSummary()
        for person in self.people.values():
            total.add(person)
        return total

    @property
    def activities(self) -> list[str]:
        """Activities that occur, in the usual order."""
        return [name for name in ACTIVITIES if any(name in person.minutes for person in self.people.values())]

    def to_json(self) -> dict[str, Any]:
        """Builtin types, sorted: the same data set gives the same text."""
        return {
            "dataset": self.dataset,
            "synthetic": self.synthetic,
            "sources": sorted(self.sources),
            "licences": sorted(self.licences),
            "devices": sorted(self.devices),
            "notes": [{"about": about, "note": note} for about, note in sorted(self.notes)],
            "people": {name: person.to_json() for name, person in sorted(self.people.items())},
            "total": self.total.to_json(),
        }


def inspect(dataset: str, sources: Iterable[Source], on_read: Callable[[], None] = lambda: None) -> Inspection:
    """Read every recording once, one in memory at a time; ``on_read`` is called after each.

    Raises:
        DatasetError: a file is malformed.
    """
    inspection = Inspection(dataset)
    for source in sources:
        recording = source.read()
        inspection.people.setdefault(recording.person, DataSummary()).add(inspect_recording(recording))
        inspection.sources.add(recording.source)
        inspection.licences.add(recording.licence)
        inspection.devices.add(recording.device)
        inspection.notes.update(recording.notes.items())
        inspection.synthetic |= recording.synthetic
        on_read()
    return inspection


def inspect_recording(recording: Recording) -> DataSummary:
    """Summarise one recording, with windows that do not overlap; detection of wear begins with the recording."""
    closed = assemble(recording, hop_ms=WINDOW_MS)
    featurised = featurise(closed.windows, MemoryBaselines())
    lengths_ms = {
        "accelerometer": recording.accelerometer_t_ms,
        "heart_rate": recording.heart_rate_t_ms[recording.heart_rate_bpm > 0],
        "steps": recording.steps_t_ms,
    }
    ends_ms = [(t_ms[0], t_ms[-1]) for t_ms in lengths_ms.values() if len(t_ms)]
    summary = DataSummary(
        recordings=1,
        recorded_min=float(max(end for _, end in ends_ms) - min(start for start, _ in ends_ms)) / 60_000,
        minutes=Counter(recording.minutes_by_activity()),
        windows=len(closed.final),
        usable=Counter(name for _, record in featurised.windows for name in MODALITY_NAMES if record.mask[name]),
        has=Counter(name for name, t_ms in lengths_ms.items() if len(t_ms)),
    )
    for gap in [*closed.gaps, *featurised.gaps]:
        summary.gap_count[gap.modality, gap.reason] += 1
        summary.gap_ms[gap.modality, gap.reason] += gap.end_ms - gap.start_ms
    return summary
