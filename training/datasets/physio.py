"""Physical Therapy Exercises: an Xsens unit on the right forearm near the wrist, in the layout of ``indexed``.

A. Yurtman, B. Barshan, "Automated evaluation of physical therapy exercises using multi-template dynamic time warping on
wearable sensor signals", Computer Methods and Programs in Biomedicine 117(2), 2014; UCI. Only the three exercises of
the arm are here.

Between the repetitions people pause, and the source does not say when. So a rule finds the active spans: the standard
deviation of acceleration over 2 s, all axes together, is above 50 mg. (The magnitude hardly changes in a slow
repetition.) Spans less than 5 s apart are one, and a span shorter than 5 s is none. In 4 of 5 people this gives the
three blocks of a test, which begin near 0, 102 and 161 s; person 1 holds the arm still within them. The rest is kept
without label and detail.

Frame: x is along the forearm: in the curl gravity varies most on it (standard deviation 0.6 to 0.8 g, others below
0.4). y and z are turned half around it: with the palm up and the forearm level in the curl, z is positive (10 of 10
recordings); with the palm down in the lateral raise (8 of 10, not in person 1) and in the rotation (10 of 10) it is
negative. A watch's z is the other way round.
"""

from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter1d

from training.datasets.indexed import IndexedDataset, Spans, Trial, find_people
from training.datasets.recording import Source

ACTIVE_MG = 50.0
DEVIATION_OVER_MS = 2_000.0
MIN_PAUSE_MS = 5_000.0
MIN_ACTIVE_MS = 5_000.0


def span_active(trial: Trial) -> Spans:
    """The parts of a trial in which the arm moves, by the rule above."""
    step_ms = float(np.median(np.diff(trial.t_ms)))
    size = max(1, round(DEVIATION_OVER_MS / step_ms))
    mean = uniform_filter1d(trial.mg, size, axis=0, mode="nearest")
    variance = uniform_filter1d(trial.mg**2, size, axis=0, mode="nearest") - mean**2
    active = np.maximum(variance, 0.0).sum(axis=1) > ACTIVE_MG**2
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    starts_ms, ends_ms = trial.t_ms[edges[::2]], trial.t_ms[edges[1::2] - 1] + step_ms
    paused = starts_ms[1:] - ends_ms[:-1] >= MIN_PAUSE_MS
    starts_ms = starts_ms[np.concatenate([np.ones(min(len(starts_ms), 1), dtype=bool), paused])]
    ends_ms = ends_ms[np.concatenate([paused, np.ones(min(len(ends_ms), 1), dtype=bool)])]
    spans = zip(starts_ms.tolist(), ends_ms.tolist(), strict=True)
    return [(start_ms, end_ms) for start_ms, end_ms in spans if end_ms - start_ms >= MIN_ACTIVE_MS]


DATASET = IndexedDataset(
    name="physio",
    device="xsens-mtx-right-forearm",
    source="Physical Therapy Exercises Dataset (Yurtman, Barshan 2014; UCI)",
    licence="CC BY 4.0 (as UCI states)",
    activity_by_name={
        "dumbbell_curl_seated": "strength",  # with a weight
        "lateral_raise_dumbbell": "strength",  # with a weight
        "arm_rotation_prone": "flexibility",  # turning the shoulder, no load
    },
    axes=np.diag([1.0, -1.0, -1.0]),
    find_spans=span_active,
    notes={"labels": "active spans were found by a rule (training/datasets/physio.py); pauses between are unlabelled"},
)


def find(root: Path) -> list[Source]:
    """Find the people (``1``).

    Raises:
        DatasetError: no such file there, or a malformed index.csv.
    """
    return find_people(root, DATASET)
