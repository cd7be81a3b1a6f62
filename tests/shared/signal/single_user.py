"""A user's state with one call per window, for tests that need no window."""

from shared.contracts.gap import GapReason
from shared.contracts.window import Baseline
from shared.signal.baseline import Hop, UserBaseline
from shared.signal.user_state import UserState
from shared.signal.wear import DeviceHistory


class SingleUser:
    """``update(hop)`` is what a window does to its user: checked in its device's history, then in the baseline."""

    def __init__(self, baseline: UserBaseline | None = None) -> None:
        self.state = UserState(baseline or UserBaseline())

    @property
    def baseline(self) -> UserBaseline:
        return self.state.baseline

    def update(self, hop: Hop, device: str = "watch") -> dict[str, GapReason]:
        failed = self.state.check(device, hop)
        self.state.update(device, hop)
        return failed

    def get(self, window_mg, **more) -> Baseline:
        return self.baseline.get(window_mg, **more)

    def through_bytes(self) -> "SingleUser":
        """What a restart makes of it."""
        again = SingleUser(UserBaseline.from_bytes(self.baseline.to_bytes()))
        for device, history in self.state.histories.items():
            again.state.histories[device] = DeviceHistory.from_bytes(history.to_bytes())
        return again
