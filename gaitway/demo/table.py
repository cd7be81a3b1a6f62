"""The demo's live table: each watch's latest activity, its confidence and the true activity."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.progress_bar import ProgressBar
from rich.table import Table

from gaitway.replay import Watch
from gaitway.tables import PLAIN_TABLE
from training.offline import label_at

_SHORT = {"accelerometer": "acc", "heart_rate": "hr", "steps": "steps"}


def make_table(watches: Iterable[Watch], latest: Mapping[str, dict[str, Any]], counts: Mapping[str, int]) -> Table:
    """One row per watch; ``latest``: the newest event's data by user; ``counts``: events by user."""
    table = Table(**PLAIN_TABLE)
    for column in ("watch", "replayed", "activity", "", "truth", "modalities"):
        table.add_column(column)
    table.add_column("windows", justify="right")
    for watch in watches:
        data = latest.get(watch.name)
        bar = ProgressBar(total=max(len(watch.uploads), 1), completed=watch.sent, width=10)
        if data is None:
            table.add_row(watch.name, bar, "", "", "", "", "0")
            continue
        truth = label_at(watch.recording, data["window_start_ms"] - watch.shift_ms)
        colour = "dim" if truth is None else "green" if truth == data["activity"] else "red"
        table.add_row(
            watch.name,
            bar,
            f"[{colour}]{data['activity']}[/]",
            f"{data['confidence']:.0%}",
            truth or "",
            " ".join(_SHORT[name] for name in data["modalities"]),
            str(counts[watch.name]),
        )
    return table
