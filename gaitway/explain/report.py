"""The result of `gaitway explain`, as tables of 80 columns and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import msgspec
from rich.console import RenderableType
from rich.table import Table

from gaitway.events import Event
from gaitway.tables import PLAIN_TABLE
from shared.contracts.event import ActivityEvent
from shared.contracts.window import Baseline


@dataclass(frozen=True, slots=True)
class Source:
    """One record of the log, ``samples`` of whose samples are in the window; ``topic`` has no prefix."""

    topic: str
    partition: int
    offset: int
    samples: int
    session: str
    seq: int
    log_ms: int


@dataclass(frozen=True, slots=True)
class ModalityUse:
    """Distinct samples in the window, coverage of its grid, and why the modality is masked; None: it is used."""

    samples: int
    coverage: float
    masked: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """One event and its recomputation from the log.

    ``baseline``: recomputed; None unless the log was read from its first record. ``probabilities``: the model's, for
    the samples in the log and the baseline in the event. ``differences``: names of what differs.
    """

    event: Event
    recorded: ActivityEvent
    closed_by: str
    whole_log: bool
    sources: list[Source]
    modalities: dict[str, ModalityUse]
    baseline: Baseline | None
    probabilities: dict[str, float]
    largest_difference: float
    differences: list[str]

    @property
    def equal(self) -> bool:
        """Whether the event equals its recomputation."""
        return not self.differences

    @property
    def verdict(self) -> str:
        """The result in one line."""
        text = "equal" if self.equal else f"differs ({', '.join(self.differences)})"
        return f"{text}; largest difference of a probability {self.largest_difference:.1e}"

    def to_json(self) -> bytes:
        """One JSON object."""
        return msgspec.json.encode(
            {
                "id": self.event.id,
                "partition": self.event.partition,
                "offset": self.event.offset,
                "equal": self.equal,
                "differences": self.differences,
                "largest_difference": self.largest_difference,
                "closed_by": self.closed_by,
                "whole_log": self.whole_log,
                "sources": [asdict(source) for source in self.sources],
                "modalities": {name: asdict(use) for name, use in self.modalities.items()},
                "recomputed": {"baseline": self.baseline, "probabilities": self.probabilities},
                "event": self.recorded,
            }
        )

    def render(self) -> Iterator[RenderableType]:
        """Tables for the terminal, from the log to the event."""
        yield self._head()
        yield self._sources()
        yield self._modalities()
        yield self._baseline()
        yield self._probabilities()
        yield self.verdict

    def _head(self) -> Table:
        recorded = self.recorded
        head = Table(show_header=False, **PLAIN_TABLE)
        head.add_row("event", f"{self.event.id}, activity.events[{self.event.partition}]@{self.event.offset}")
        head.add_row("user, device", f"{recorded.user}, {recorded.device}")
        begin, end = _time(recorded.window_start_ms), _time(recorded.window_end_ms, "%H:%M:%S")
        head.add_row("window", f"{begin} to {end}, hop {recorded.hop_ms // 1000} s, closed by {self.closed_by}")
        head.add_row("model", recorded.model)
        return head

    def _sources(self) -> Table:
        table = Table(title=f"\nRecords of the log (partition {self.event.partition})", **PLAIN_TABLE)
        table.add_column("topic", no_wrap=True)
        table.add_column("offset", justify="right", no_wrap=True)
        table.add_column("samples", justify="right", no_wrap=True)
        table.add_column("session/seq", overflow="fold")
        table.add_column("log time", no_wrap=True)
        for source in self.sources:
            upload, log_time = f"{source.session}/{source.seq}", _time(source.log_ms, "%m-%d %H:%M:%S.%f")
            table.add_row(source.topic, str(source.offset), str(source.samples), upload, log_time)
        return table

    def _modalities(self) -> Table:
        table = Table(title="\nSamples in the window", **PLAIN_TABLE)
        table.add_column("modality")
        table.add_column("samples", justify="right")
        table.add_column("coverage", justify="right")
        table.add_column("reaches the model")
        for name, use in self.modalities.items():
            reaches = "yes" if use.masked is None else f"no: {use.masked}"
            table.add_row(name, str(use.samples), f"{use.coverage:.3f}", reaches)
        return table

    def _baseline(self) -> Table:
        table = Table(title="\nBaseline", **PLAIN_TABLE)
        for column in ("", "in the event", "from the log"):
            table.add_column(column)
        recorded, found = _numbers(self.recorded.baseline), {}
        if self.baseline is not None:
            found = _numbers(self.baseline)
        for name, numbers in recorded.items():
            table.add_row(name, numbers, found.get(name, "not read from its beginning"))
        return table

    def _probabilities(self) -> Table:
        table = Table(title="\nProbabilities", **PLAIN_TABLE)
        table.add_column("activity")
        for column in ("in the event", "from the log"):
            table.add_column(column, justify="right")
        for name, found in self.probabilities.items():
            recorded = self.recorded.probabilities.get(name)
            table.add_row(name, "" if recorded is None else f"{recorded:.6f}", f"{found:.6f}")
        return table


def _numbers(baseline: Baseline) -> dict[str, str]:
    accelerometer, heart_rate = baseline.accelerometer, baseline.heart_rate
    return {
        "accelerometer (mg)": f"{accelerometer.state} {' '.join(map(str, accelerometer.mg))}",
        "heart rate (bpm)": f"{heart_rate.state} {heart_rate.bpm}",
    }


def _time(ms: int, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """UTC; %f is cut to milliseconds."""
    text = datetime.fromtimestamp(ms / 1000, UTC).strftime(form)
    return (text[:-3] if form.endswith("%f") else text) + "Z"
