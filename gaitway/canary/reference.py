"""What a bundle is known to say of the canary's recording; made by `python -m gaitway.canary.make_reference`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

FILE = Path(__file__).with_name("reference.json")
HOP_MS = 10_000


@dataclass(frozen=True, slots=True)
class Reference:
    """``activities``: one per 10 s of the cycle, None where the answer is too close to call.

    The windows of one cycle follow from their starts (stream.py), so that they are the same whoever sends them.
    """

    recording: str
    model: str
    activities: tuple[str | None, ...]

    def activity(self, model: str, window_start_ms: int) -> str | None:
        """What this bundle must say of the window that starts there; None where that is not known."""
        if model != self.model:
            return None
        return self.activities[window_start_ms // HOP_MS % len(self.activities)]

    @classmethod
    def of(cls, recording: Path) -> Self | None:
        """The reference of this recording, if it is the one that there is one of."""
        stored = json.loads(FILE.read_text())
        if stored["recording"] != recording.resolve().name:
            return None
        return cls(stored["recording"], stored["model"], tuple(stored["activities"]))
