"""The path of a user's baseline: each window's numbers are the median of the windows before it (section 6).

Only for watches whose uploads came in their own order: there the windows close in the order of their start, whatever
died in between.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tests.chaos.contract import Floats, RunningMedian
from tests.chaos.history import ReceivedEvent, Sent
from tests.chaos.windows import Key, Window

TOLERANCE_MG = 1.0
LOOK_BACK = 100
"""Windows among which a user may have begun anew."""

Spans = Collection[tuple[float, float]]


def baseline_faults(
    uploads: Collection[Sent], windows: Mapping[Key, Window], events: Collection[ReceivedEvent], doubts: Spans
) -> tuple[int, list[tuple[Key, str]]]:
    """How many events were checked, and what is wrong with them.

    ``doubts``: spans (ms) after Redis has lost its content. Users who are not in memory then begin anew, with windows
    that update it again as the log is read again; in the end it must be that of their last windows once more.
    """
    sent: dict[str, list[Sent]] = defaultdict(list)
    seen: dict[str, dict[int, ReceivedEvent]] = defaultdict(dict)
    filled: dict[str, list[Window]] = defaultdict(list)
    for upload in uploads:
        sent[upload.user].append(upload)
    for event in events:
        seen[event.data["user"]].setdefault(event.data["window_start_ms"], event)
    for window in windows.values():
        if window.contents:
            filled[window.key[0]].append(window)
    verdicts = [
        verdict
        for user, user_uploads in sent.items()
        # Of two devices' windows nobody can tell from outside which closed first.
        if len({upload.device for upload in user_uploads}) == 1
        and _in_order(user_uploads)
        and all(w.certain and w.complete for w in filled[user])
        for verdict in _follow(filled[user], seen[user], doubts)
    ]
    return len(verdicts), [verdict for verdict in verdicts if verdict is not None]


def _in_order(uploads: Sequence[Sent]) -> bool:
    """Each upload was accepted before the next was first tried, in device time, and none was sent again later."""
    by_time = sorted(uploads, key=lambda upload: min(part.t_ms[0] for part in upload.parts.values()))
    return all(
        before.settled_ms <= after.began_ms and max(a.ended_ms for a in before.attempts) <= after.began_ms
        for before, after in pairwise(by_time)
    )


def _follow(
    windows: Sequence[Window], events: Mapping[int, ReceivedEvent], doubts: Spans
) -> Iterator[tuple[Key, str] | None]:
    """Per event None, or what is wrong with its baseline; those in doubt are left out."""
    hops: list[Floats] = []
    # Right after a restart several medians explain an event within the tolerance; the next ones show which it is.
    medians, adrift = [RunningMedian()], False
    for window in windows:
        accelerometer = window.contents[0]["accelerometer"]
        event = events.get(window.key[2])
        if event is None:  # lost, which is reported already
            continue
        stated, own = event.data["baseline"]["accelerometer"], accelerometer.values
        if stated["state"] != "unavailable":
            in_doubt = any(begin <= event.data["published_at_ms"] <= end for begin, end in doubts)
            fitting = [median for median in medians if _matches(median, stated, own)]
            if not fitting and adrift and not in_doubt:
                fitting, adrift = list(_anew(hops, stated, own)), False
            medians = fitting or medians
            if fitting:
                yield None
            elif in_doubt:
                adrift = True
            else:
                yield window.key, f"baseline {stated}, not {_numbers(medians[0], own)} ({medians[0].state})"
        half = own.shape[1] // 2
        hops.append(own[:, half:][:, accelerometer.covered[half:]])
        for median in medians:
            median.add(hops[-1])


def _anew(hops: list[Floats], stated: Mapping[str, Any], own: Floats) -> Iterator[RunningMedian]:
    """The medians of the last so many windows that give what the event says."""
    median = RunningMedian()
    for hop in [None, *hops[: -LOOK_BACK - 1 : -1]]:
        if hop is not None:
            median.add(hop)
        if _matches(median, stated, own):
            yield median.copy()


def _matches(median: RunningMedian, stated: Mapping[str, Any], own: Floats) -> bool:
    off = np.abs(np.array(_numbers(median, own)) - np.array(stated["mg"]))
    return stated["state"] == median.state and bool(off.max() <= TOLERANCE_MG)


def _numbers(median: RunningMedian, own: Floats) -> list[float]:
    """A user's very first window takes its own median."""
    values = median.medians() if median.count else np.median(own, axis=1)
    return [round(float(value), 2) for value in values]
