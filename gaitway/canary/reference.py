"""The known answers of a bundle for the canary's recording; `python -m gaitway.canary.make_reference` writes them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

FILE = Path(__file__).with_name("reference.json")
HOP_MS = 10_000


@dataclass(frozen=True, slots=True)
class Reference:
    """``activities``: one per 10 s of the cycle, None where the answer is too close to call.

    The start of a window, counted from the phase of its grid, decides its content (stream.py), so the answers are the
    same for every canary.
    """

    recording: str
    model: str
    activities: tuple[str | None, ...]

    def activity(self, model: str, since_phase_ms: int) -> str | None:
        """The activity that this bundle must give for the window that starts so long after its grid's phase.

        None if unknown.
        """
        if model != self.model:
            return None
        return self.activities[since_phase_ms // HOP_MS % len(self.activities)]

    @classmethod
    def of(cls, recording: Path) -> Self | None:
        """Read the reference if it is of this recording, else None."""
        stored = json.loads(FILE.read_text())
        if stored["recording"] != recording.resolve().name:
            return None
        return cls(stored["recording"], stored["model"], tuple(stored["activities"]))
