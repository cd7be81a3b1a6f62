"""The Garmin log of ETH's FLIRT toolkit: ``acc.csv.gz`` (time;x;y;z in mg) and ``data.csv.gz`` (time;TYPE;value).

Foell, Maritsch, Spinola et al., "FLIRT", Computer Methods and Programs in Biomedicine 212 (2021). Times are ISO 8601
with offset. Data outside the accelerometer's span is left out, except for the step total at its start.
The counter reports on change only and heart rate -1 is "no reading": both are kept. No labels.
Of the 10,000 samples 93 repeat the time stamp of the one before: the first of two wins.
"""

from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.recording import DatasetError, Floats, Recording, Source, in_time_order
from training.datasets.tables import AnyPath, find_table, numbers, read_lines

DEVICE = "garmin"
SOURCE = "FLIRT test data (ETH Zurich; Foell, Maritsch, Spinola et al. 2021)"
LICENCE = "MIT"


def find(root: Path) -> list[Source]:
    """Find the log's one person, ``1``.

    Raises:
        DatasetError: no acc.csv or no data.csv there.
    """
    acc, data = find_table(root, "acc.csv"), find_table(root, "data.csv")
    if acc is None or data is None:
        raise DatasetError(root, "no acc.csv[.gz] and data.csv[.gz] of a Garmin log here")
    return [Source("1", "1", lambda: read_log(acc, data))]


def read_log(acc: AnyPath, data: AnyPath) -> Recording:
    """Read the log.

    Raises:
        DatasetError: a malformed row, or no sample.
    """
    lines = read_lines(acc)
    raw_ms, offset_min, rest = _split_times(acc, lines)
    if not len(raw_ms):
        raise DatasetError(acc, "no samples")
    acc_t_ms, acc_mg = in_time_order(raw_ms, numbers(acc, rest, ("x", "y", "z"), first_line=1, delimiter=";"))
    event_ms, _, events = _split_times(data, read_lines(data))
    types = np.array([event.partition(";")[0] for event in events])
    values = numbers(data, [event.partition(";")[2] for event in events], ("value",), first_line=1)[:, 0]
    inside = (event_ms >= acc_t_ms[0]) & (event_ms <= acc_t_ms[-1])
    beats = inside & (types == "HEART_RATE")
    before = np.flatnonzero((types == "STEPS") & (event_ms < acc_t_ms[0]))
    counts = inside & (types == "STEPS")
    counts[before[-1:]] = True
    hr_t_ms, hr_bpm = in_time_order(event_ms[beats], values[beats])
    steps_t_ms, steps_total = in_time_order(event_ms[counts], values[counts].astype(np.int64))
    return Recording(
        person="1",
        device=DEVICE,
        source=SOURCE,
        licence=LICENCE,
        accelerometer_t_ms=acc_t_ms,
        accelerometer_mg=acc_mg,
        heart_rate_t_ms=hr_t_ms,
        heart_rate_bpm=np.maximum(hr_bpm, 0),
        steps_t_ms=steps_t_ms,
        steps_total=steps_total,
        notes={"steps": "the watch's own counter: reported on change only"},
        utc_offset_min=offset_min,
    )


def _split_times(path: AnyPath, lines: list[str]) -> tuple[Floats, int | None, list[str]]:
    """Times in ms of every row, the first row's UTC offset in minutes, and the rest of every row."""
    parts = [line.partition(";") for line in lines]
    times: list[datetime] = []
    for line, (time, _, _) in enumerate(parts, start=1):
        try:
            times.append(datetime.fromisoformat(time))
        except ValueError as error:
            raise DatasetError(path, str(error), line) from error
    offset = times[0].utcoffset() if times else None
    stamps: NDArray[np.float64] = np.array([round(time.timestamp() * 1000) for time in times], dtype=np.float64)
    return stamps, None if offset is None else round(offset.total_seconds() / 60), [rest for _, _, rest in parts]
