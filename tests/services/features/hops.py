"""Hops of made-up people, and their windows' slots."""

import numpy as np

from shared.signal.baseline import Hop
from shared.windows.final_windows import FinalWindows
from tests.shared.windows.signals import BASE_MS, HOP_MS

DEVICE = "watch"


def hop(seed: int, index: int) -> Hop:
    """The newest hop of the window that starts ``index`` hops after BASE_MS."""
    rng = np.random.default_rng([seed, index])
    return Hop(
        start_ms=BASE_MS + (index + 1) * HOP_MS,
        hop_ms=HOP_MS,
        mg=rng.normal([[100 * seed], [-30], [980]], rng.choice([5, 300]), (3, 250)),
        mg_covered=np.ones(250, dtype=bool),
        bpm=np.rint(rng.normal(70, 5, 10)),
        bpm_covered=np.ones(10, dtype=bool),
        resting=np.full(10, bool(rng.integers(2))),
    )


def window_start_ms(index: int) -> int:
    return BASE_MS + index * HOP_MS


class Slots:
    """The assembler's side: which windows of each user are final."""

    def __init__(self) -> None:
        self._users: dict[str, dict[str, FinalWindows]] = {}

    def close(self, user: str, index: int, device: str = DEVICE) -> int:
        """Returns the hour."""
        devices = self._users.setdefault(user, {})
        return devices.setdefault(device, FinalWindows(HOP_MS)).add(window_start_ms(index))

    def restore_final(self, user: str, devices: dict[str, FinalWindows]) -> None:
        for device, closed in devices.items():
            mine = self._users.setdefault(user, {}).setdefault(device, FinalWindows(HOP_MS))
            mine.hours |= {hour: mine.hours.get(hour, 0) | bits for hour, bits in closed.hours.items()}

    def __call__(self, user: str) -> dict[str, FinalWindows]:
        return self._users.get(user, {})
