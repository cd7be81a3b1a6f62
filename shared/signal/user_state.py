"""State of one user between windows: the baseline, and the recent history of each device."""

from dataclasses import dataclass, field

from shared.contracts.gap import GapReason
from shared.signal.baseline import Hop, UserBaseline
from shared.signal.wear import DeviceHistory


@dataclass(slots=True, eq=False)
class UserState:
    """``check`` a window's newest hop, compute the window with ``baseline``, then ``update`` with the hop."""

    baseline: UserBaseline = field(default_factory=UserBaseline)
    histories: dict[str, DeviceHistory] = field(default_factory=dict)

    def check(self, device: str, hop: Hop) -> dict[str, GapReason]:
        """Add the hop to the device's history; returns the modalities that must not reach the model, and why."""
        history = self.histories.get(device)
        if history is None:
            history = self.histories[device] = DeviceHistory(hop.hop_ms)
        statistics = hop.statistics
        history.update(
            hop.start_ms,
            sd_mg=statistics.sd_mg,
            is_constant=statistics.is_constant,
            has_readings=statistics.has_readings,
            bpm=statistics.bpm,
        )
        return history.failed_checks(hop.start_ms)

    def update(self, device: str, hop: Hop) -> None:
        """Add a checked hop to the baseline."""
        self.baseline.update(hop, self.histories[device])
