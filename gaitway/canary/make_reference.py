"""Compute reference.json with a bundle: `python -m gaitway.canary.make_reference [BUNDLE]`. Needs torch."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gaitway.canary.reference import FILE, HOP_MS
from gaitway.canary.settings import RECORDING
from gaitway.canary.stream import AFTER_GRID_MS, Stream, cycle_of
from gaitway.load.templates import PERIOD_MS
from gaitway.paths import DEFAULT_MODEL
from shared.contracts.labels import decide
from shared.contracts.modality import MODALITIES
from shared.contracts.upload import Upload, to_records
from shared.contracts.window import WindowRecord
from shared.model.bundle import LoadedModel, load_bundle
from shared.windows.assembler import Assembler, AssemblyResult
from shared.windows.featurise import MemoryBaselines, featurise
from shared.windows.merge import LogRecord

USER, DEVICE = "canary-0", "canary"
GRACE_MS = 60_000
CYCLES = 2
MARGIN = 0.15
"""An answer counts as known if its probability exceeds the next class's and `abstain_below` by at least this much."""


def make_reference(bundle: LoadedModel, recording: Path = RECORDING) -> dict[str, object]:
    """Classify every window of the cycle; None where the answer depends on the start of the stream or is too close."""
    templates = cycle_of(recording, DEVICE)
    length = len(templates) * PERIOD_MS // HOP_MS
    answers: dict[int, set[str | None]] = {}
    for begin in (0, length // 3, 2 * length // 3):
        stream = Stream(templates, HOP_MS, phase_ms=0, begin_ms=begin * HOP_MS + AFTER_GRID_MS)
        windows = list(make_window_records(stream, CYCLES * len(templates)))
        for window, activity in zip(windows, _classify(bundle, windows), strict=True):
            answers.setdefault(window.window_start_ms // HOP_MS % length, set()).add(activity)
    activities = [next(iter(answers[i])) if len(answers.get(i, ())) == 1 else None for i in range(length)]
    return {"recording": recording.name, "model": bundle.name_version, "activities": activities}


def make_window_records(stream: Stream, steps: int) -> Iterator[WindowRecord]:
    """The windows that features makes of a stream whose uploads all arrive on time."""
    assembler, baselines = Assembler(stream.hop_ms, GRACE_MS), MemoryBaselines()
    topics = {modality.name: index for index, modality in enumerate(MODALITIES)}
    for step in range(steps):
        upload = msgspec.json.decode(stream.body(step), type=Upload)
        closed = AssemblyResult()
        for samples in to_records(upload, upload.sent_at_ms):
            record = LogRecord(upload.sent_at_ms, topics[samples.modality.name], step, USER, samples)
            closed.extend(assembler.fold(record))
        if closed.windows:
            yield from (record for _, record in featurise(closed.windows, baselines).windows)


def _classify(bundle: LoadedModel, windows: list[WindowRecord]) -> Iterator[str | None]:
    """The activity of each window, or None where the answer is too close."""
    rows = bundle.probabilities(
        [window.features for window in windows],
        [window.mask for window in windows],
        [window.baseline.accelerometer.mg for window in windows],
    )
    for row in rows:
        probabilities = dict(zip(bundle.classes, row.tolist(), strict=True))
        _, second, first = sorted([0.0, *probabilities.values()])[-3:]
        clear = first >= max(bundle.abstain_below, second) + MARGIN
        yield decide(probabilities, bundle.abstain_below)[0] if clear else None


def main() -> None:
    """Write reference.json."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_MODEL
    FILE.write_text(json.dumps(make_reference(load_bundle(folder)), indent=1) + "\n")


if __name__ == "__main__":
    main()
