"""Stress-Predict: Empatica E4 exports ``Raw_data/SXX`` of people at a desk, an hour each, all of it sitting.

T. Iqbal et al., "Stress Monitoring Using Wearable Sensors: A Pilot Study and Stress-Predict Dataset", Sensors 22 (2022)
8135, doi:10.3390/s22218135. Every task (Stroop test, interview, hyperventilation, rest between) was done seated. The
first and the last minute, when the watch is put on and taken off, are unlabelled.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from training.datasets.e4 import read_export
from training.datasets.recording import DatasetError, Label, Recording, Source

SOURCE = "Stress-Predict Dataset (Iqbal et al. 2022, doi:10.3390/s22218135)"
LICENCE = "MIT"
EDGE_MS = 60_000.0


def find(root: Path) -> list[Source]:
    """Find the people (``S01``). ``root``: the data set's folder, or its Raw_data.

    Raises:
        DatasetError: no such folder there.
    """
    folders = sorted(
        path for level in ("Raw_data", ".") for path in (root / level).glob("S[0-9][0-9]") if path.is_dir()
    )
    if not folders:
        raise DatasetError(root, "no Raw_data/SXX of Stress-Predict here")
    return [Source(folder.name, folder.name, partial(read_person, folder)) for folder in folders]


def read_person(folder: Path) -> Recording:
    """Read one person.

    Raises:
        DatasetError: ACC.csv is missing, or a file is malformed.
    """
    recording = read_export(folder, folder.name, [])
    start_ms, end_ms = recording.accelerometer_t_ms[0] + EDGE_MS, recording.accelerometer_t_ms[-1] - EDGE_MS
    labels = (Label(float(start_ms), float(end_ms), "sitting"),) if end_ms > start_ms else ()
    return replace(recording, source=SOURCE, licence=LICENCE, labels=labels)
