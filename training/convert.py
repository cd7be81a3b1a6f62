"""Convert source data sets to the recording format: ``python -m training.convert LAYOUT SRC DST``.

LAYOUT is a kind of data set (``gaitway datasets inspect --help`` names them); ``--people`` selects people by their
names in SRC, ``--minutes-per-activity`` keeps only labelled parts. LAYOUT demo reads the folder
of five source data sets and writes examples/recordings, with the same bytes each time.

DST gets one folder per recording, LAYOUT-NAME (``dsads-p1-left``, ``e4-S03-AEROBIC``); the ``person`` in it is
LAYOUT-PERSON, so that names from several sources do not collide. Steps are emulated where the source has none.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from shared.contracts.labels import OTHER
from training.datasets import FINDERS, dataset_of, dsads, select_people
from training.datasets.cut import cut
from training.datasets.folder import write_recording
from training.datasets.held_out import HELD_OUT_SUBJECTS
from training.datasets.recording import DatasetError, Recording, Source
from training.pedometer import with_steps

DEMO_FOLDERS = {
    "wisdm": "wisdm_watch",
    "dsads": "dsads_arms",
    "selfback": "selfback_wrist",
    "e4": "e4_exercise_physionet",
    "garmin": "garmin_watch_flirt",
}
DEMO_MINUTES = {"wisdm": 3.0, "dsads": 2.0, "selfback": 2.0, "e4": 7.0}
"""Minutes per activity; the Garmin log has no labels and stays whole."""
DEMO_CREDIT = {
    "e4": (
        "Wearable Device Dataset from Induced Stress and Structured Exercise Sessions 1.0.1 (Hongn, Bosch, Prado, "
        "Bonomini; PhysioNet 2025; doi:10.1038/s41597-025-04845-9)",
        "ODC-By 1.0",
    ),
}
"""Source and licence where the layout does not imply them."""
DEMO_SESSIONS = {"e4": ("AEROBIC", "STRESS")}
"""Sessions to use if people have several: steady cycling, and desk work."""
DEMO_LEFT_OUT = {"wisdm": ("typing", "writing", "soup", "pasta")}
"""Details whose labels are not used, beside all labels "other": of sitting, the demo shows what the source calls so."""


def convert(layout: str, sources: Sequence[Source], target: Path, minutes_per_activity: float | None) -> list[Path]:
    """Write each source as one recording; returns the folders.

    Raises:
        DatasetError: a source is malformed, or is to be cut and has no label.
    """
    written = []
    for source in sources:
        recording = source.read()
        if minutes_per_activity is not None:
            if not recording.labels:
                print(f"{source.name}: nothing is labelled, left out", file=sys.stderr)
                continue
            recording = cut([recording], minutes_per_activity)
        written.append(_write(target / _folder_name(layout, source.name), layout, recording))
    return written


def convert_demo(datasets: Path, target: Path) -> list[Path]:
    """Write the recordings of the demo, one per held-out person; returns the folders.

    Raises:
        DatasetError: a source data set or person is missing, or a file is malformed.
    """
    written = []
    for layout, people in HELD_OUT_SUBJECTS.items():
        root = datasets / DEMO_FOLDERS[layout]
        sources = FINDERS[layout](root)
        for person in people:
            taken = select_people(sources, [person], root)
            if layout in DEMO_SESSIONS:
                taken = [source for source in taken if source.name.split("/")[0] in DEMO_SESSIONS[layout]]
            sessions = [source.read() for source in taken]
            if layout in DEMO_CREDIT:
                credit, licence = DEMO_CREDIT[layout]
                sessions = [replace(session, source=credit, licence=licence) for session in sessions]
            sessions = [drop_labels(session, DEMO_LEFT_OUT.get(layout, ())) for session in sessions]
            recording = cut(sessions, DEMO_MINUTES[layout]) if layout in DEMO_MINUTES else sessions[0]
            written.append(_write(target / f"{layout}-{person}", layout, recording))
    return written


def drop_labels(session: Recording, names: Sequence[str]) -> Recording:
    """The session without labels "other" and without those of the details ``names``."""
    starts_ms = {detail.start_ms for detail in session.details if detail.activity in names}
    labels = (label for label in session.labels if label.activity != OTHER and label.start_ms not in starts_ms)
    return replace(session, labels=tuple(labels))


def _folder_name(layout: str, name: str) -> str:
    """e4's SESSION/RECORDING becomes RECORDING-SESSION, so that a person's recordings sort together."""
    return "-".join([layout, *reversed(name.split("/"))])


def _write(folder: Path, layout: str, recording: Recording) -> Path:
    recording = replace(recording, person=f"{dataset_of(layout)}-{recording.person}")
    write_recording(folder, with_steps(recording))
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0, or 1 with one line on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m training.convert", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("layout", choices=[*FINDERS, "demo"])
    parser.add_argument("source", type=Path, metavar="SRC")
    parser.add_argument("target", type=Path, metavar="DST")
    parser.add_argument("--people", help="names, comma-separated (default: all)")
    parser.add_argument(
        "--minutes-per-activity", type=float, help="cut to at most so many minutes each (default: whole)"
    )
    parser.add_argument("--arm", choices=["right", "left", "both"], default="right", help="dsads only")
    options = parser.parse_args(arguments)
    layout, root = options.layout, options.source
    if options.minutes_per_activity is not None and options.minutes_per_activity <= 0:
        parser.error("--minutes-per-activity must be above 0")
    if layout == "demo" and (options.people or options.minutes_per_activity):
        parser.error("demo takes neither --people nor --minutes-per-activity: both are fixed")
    try:
        if layout == "demo":
            written = convert_demo(root, options.target)
        else:
            find = FINDERS[layout]
            if layout == "dsads":
                find = partial(dsads.find, arms=("right", "left") if options.arm == "both" else (options.arm,))
            people = re.split(r"\s*,\s*", options.people.strip()) if options.people else None
            sources = select_people(find(root), people, root)
            written = convert(layout, sources, options.target, options.minutes_per_activity)
    except DatasetError as error:
        print(error, file=sys.stderr)
        return 1
    for folder in written:
        print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
