"""The known answers are those of the shipped bundle."""

import json

from gaitway.canary.make_reference import make_reference, make_window_records
from gaitway.canary.reference import FILE, Reference
from gaitway.canary.settings import RECORDING
from gaitway.canary.stream import AFTER_GRID_MS, Stream, cycle_of
from gaitway.paths import DEFAULT_MODEL
from shared.model.bundle import load_bundle


def test_the_file_is_what_the_default_bundle_says():
    stored = json.loads(FILE.read_text())
    assert stored == json.loads(json.dumps(make_reference(load_bundle(DEFAULT_MODEL))))


def test_most_answers_are_known_and_more_than_one_is_given():
    reference = Reference.of(RECORDING)
    known = [activity for activity in reference.activities if activity is not None]
    assert len(known) > 0.5 * len(reference.activities)
    assert len(set(known)) > 1


def test_every_window_is_whole_over_the_seam_too():
    cycle = cycle_of(RECORDING, "canary-1")
    windows = list(make_window_records(Stream(cycle, 10_000, 0, AFTER_GRID_MS), 2 * len(cycle)))
    assert len(windows) == len(cycle) - 2  # One per two uploads, but for those that the beginning cuts.
    for window in windows:
        assert all(window.mask.values())
        assert set(window.coverage.values()) == {1.0}


def test_of_another_recording_or_bundle_nothing_is_known():
    assert Reference.of(RECORDING.with_name("garmin-1")) is None
    reference = Reference.of(RECORDING)
    assert {reference.activity("other@1", start) for start in range(0, 840_000, 10_000)} == {None}
