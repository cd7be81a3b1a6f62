"""N watches that upload every 5 s in evenly spread phases, and the windows that must get events."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from gaitway.load.templates import PERIOD_MS
from shared.contracts.grid import grid_phase_ms
from shared.contracts.modality import WINDOW_MS


class Upload(NamedTuple):
    """Upload number ``step`` of watch ``watch``, due ``due_ms`` after the start; ``tries`` attempts have failed."""

    watch: int
    step: int
    due_ms: float
    tries: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """Content and time of all uploads. ``request_heads``: per watch, the request up to the length of its body.

    Watch i begins at template ``i * len(templates) / n`` and repeats all templates in order, so its stream has no gap.
    ``begin_ms``: Unix time of the first upload. The watches join in turn over ``ramp_steps`` periods: if they joined
    at once, the service would get an hour's new users in 5 s. ``phase_per_user``: the setting of features.
    """

    users: list[str]
    request_heads: list[bytes]
    templates: list[bytes]
    begin_ms: int
    ramp_steps: int = 1
    phase_per_user: bool = True

    def __len__(self) -> int:
        return len(self.users)

    def uploads(self, steps: int) -> Iterator[Upload]:
        """All uploads, ``steps`` of every watch, in the order of time."""
        for period in range(steps + self.ramp_steps - 1):
            for watch in range(len(self)):
                step = period - watch % self.ramp_steps
                if 0 <= step < steps:
                    yield Upload(watch, step, PERIOD_MS * (period + watch / len(self)))

    def request(self, upload: Upload) -> bytes:
        """The bytes of the whole HTTP request."""
        first = upload.watch * len(self.templates) // len(self)
        template = self.templates[(first + upload.step) % len(self.templates)]
        end_ms = self.end_ms(upload.watch, upload.step)
        t0_ms = end_ms - PERIOD_MS
        body = template % (upload.step, end_ms, t0_ms, t0_ms, t0_ms)
        return b"%s%d\r\n\r\n%s" % (self.request_heads[upload.watch], len(body), body)

    def end_ms(self, watch: int, step: int) -> int:
        """End of an upload's samples on the watch's clock, which is when it is due."""
        period = step + watch % self.ramp_steps
        return self.begin_ms + PERIOD_MS * watch // len(self) + PERIOD_MS * period

    def expected(self, watch: int, steps: int, hop_ms: int) -> range:
        """Starts of the windows that ``steps`` uploads fill."""
        begin_ms = self.end_ms(watch, 0) - PERIOD_MS
        phase_ms = grid_phase_ms(self.users[watch], hop_ms) if self.phase_per_user else 0
        first = begin_ms + (phase_ms - begin_ms) % hop_ms
        return range(first, self.end_ms(watch, steps - 1) - WINDOW_MS + 1, hop_ms)


def request_head(host: str, port: int, token: str) -> bytes:
    """A watch's request up to the value of Content-Length."""
    return (
        f"POST /v1/uploads HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    ).encode()
