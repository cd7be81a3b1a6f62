"""What the checker reads: the attempts of the watches and the events of a consumer, one JSON object a line."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.chaos.contract import Floats

ACCEPTED, REFUSED = 202, 422


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request: when its first byte went out, when its end was known, and the status or what became of it."""

    began_ms: float
    ended_ms: float
    answer: int | str


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One modality of an upload: ``values`` (channels, n) quantised as the contract says, NaN where null."""

    t_ms: Floats
    end_ms: float
    values: Floats


@dataclass(slots=True, eq=False)
class Sent:
    """One upload with all its attempts."""

    user: str
    number: int
    device: str = ""
    parts: dict[str, Part] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def began_ms(self) -> float:
        """Before this it cannot have arrived."""
        return min(attempt.began_ms for attempt in self.attempts)

    @property
    def accepted_ms(self) -> float | None:
        """By then it has arrived; None: it may have, at any time."""
        return min((a.ended_ms for a in self.attempts if a.answer == ACCEPTED), default=None)

    @property
    def settled_ms(self) -> float:
        """``accepted_ms``, or never."""
        return float("inf") if self.accepted_ms is None else self.accepted_ms


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedEvent:
    """One event as a read_committed consumer got it; ``read_ms`` None: only the reading at the end has it."""

    partition: int
    offset: int
    key: str
    headers: dict[str, str]
    data: dict[str, Any]
    read_ms: float | None

    @property
    def identity(self) -> tuple[str, str, int, int]:
        """Of the window that it classifies: one event, whichever model was live (sections 7 and 10)."""
        data = self.data
        return data["user"], data["device"], data["window_start_ms"], data["hop_ms"]


def read_uploads(path: Path) -> list[Sent]:
    """All uploads that were not refused; the first line of each holds its body.

    What was refused is as if it had not been sent: an event of it is one for which nobody sent the data.
    """
    found: dict[tuple[str, str, int], Sent] = {}
    with path.open() as lines:
        for line in lines:
            entry = json.loads(line)
            user, device, number = entry["user"], entry["device"], entry["upload"]
            sent = found.setdefault((user, device, number), Sent(user, number, device))
            if "body" in entry:
                body = json.loads(entry["body"])
                sent.parts = _parts(body)
            sent.attempts.append(Attempt(entry["began_ms"], entry["ended_ms"], entry["answer"]))
    return [sent for sent in found.values() if not any(attempt.answer == REFUSED for attempt in sent.attempts)]


def read_events(path: Path) -> list[ReceivedEvent]:
    """All events, by partition and offset."""
    with path.open() as lines:
        events = [ReceivedEvent(**json.loads(line)) for line in lines]
    return sorted(events, key=lambda event: (event.partition, event.offset))


def write_lines(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    """One JSON object a line."""
    with path.open("w") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in entries)


def _parts(body: dict[str, Any]) -> dict[str, Part]:
    columns = {"accelerometer": ("x", "y", "z"), "heart_rate": ("bpm",), "steps": ("total",)}
    parts = {}
    for name, axes in columns.items():
        if (part := body.get(name)) is not None:
            # Half to even; null becomes NaN. A heart rate of 0 is no reading either, nor is no gravity at all.
            values = np.rint(np.array([part[axis] for axis in axes], dtype=np.float64))
            if name != "steps":
                values[:, ~values.any(axis=0)] = np.nan
            step_ms = 1000 / part["rate_hz"]
            n = values.shape[1]
            parts[name] = Part(part["t0_ms"] + np.arange(n) * step_ms, part["t0_ms"] + n * step_ms, values)
    return parts
