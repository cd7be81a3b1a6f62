"""Recordings as watches: any rate, any name, any speed."""

import math
from pathlib import Path

import msgspec
import pytest

from gaitway.errors import CommandError
from gaitway.replay import Watch, make_watch, replay, shift_of, users_of
from shared.contracts.time_limits import UPLOAD_FUTURE_MS
from shared.contracts.token import make_token
from shared.contracts.upload import Upload, to_records
from tests.recordings import BEGIN_MS, wrist
from training.datasets import Recording, read_recording
from training.upload_simulator import uploads

KEY = "a key for tests, of 32 bytes and more"
NOW_MS = BEGIN_MS + 10**9


@pytest.mark.parametrize("rate_hz", [24.9, 25.16, 26.0, 31.25, 62.5, 97.0, 99.65, 100.4, 101.0])
def test_a_watch_keeps_its_rate(tmp_path: Path, rate_hz: float) -> None:
    recording = read_recording(wrist(tmp_path, "ann", rate_hz=rate_hz))
    sent = [msgspec.json.decode(msgspec.json.encode(upload), type=Upload) for upload in uploads(recording)]
    assert [upload.accelerometer.rate_hz for upload in sent] == pytest.approx([rate_hz] * len(sent), rel=1e-4)
    assert sum(len(upload.accelerometer.x) for upload in sent) == len(recording.accelerometer_t_ms)


@pytest.mark.parametrize("speed", [0.1, 1.0, 20.0, math.inf])
def test_no_sample_lies_in_the_future(tmp_path: Path, speed: float) -> None:
    recording = read_recording(wrist(tmp_path, "ann", seconds=3_600, rate_hz=10))
    watch = make_watch(recording, "token", NOW_MS, speed)
    first_ms = watch.uploads[0].sent_at_ms
    for upload in watch.uploads:
        at_ms = NOW_MS + (upload.sent_at_ms - first_ms) / speed
        to_records(upload, round(at_ms) + 60_000)
        assert upload.sent_at_ms < at_ms + UPLOAD_FUTURE_MS
    assert shift_of(recording, NOW_MS, speed) % 20_000 == 0


def test_users_have_names_that_a_token_takes(tmp_path: Path) -> None:
    names = ["ann", "rate/p1", "Ann Müller", "Ann  Müller", "", "x" * 80, "ann"]
    paths = [wrist(tmp_path, str(number), person=name, seconds=1) for number, name in enumerate(names)]
    recordings: list[Recording] = [read_recording(path) for path in paths]
    users = users_of(recordings)
    assert users[0] == "ann"
    assert len(set(users)) == len(users)
    for user in users:
        assert make_token(KEY, user)
    assert users_of(recordings[:-1]) == users[:-1]


def test_a_device_has_a_name_that_an_upload_takes(tmp_path: Path) -> None:
    recording = read_recording(wrist(tmp_path, "ann", device="Apple Watch, series 9"))
    for upload in uploads(recording):
        assert msgspec.json.decode(msgspec.json.encode(upload), type=Upload).device.startswith("Apple-Watch-series-9-")


async def test_an_address_without_a_scheme_is_refused_at_once(tmp_path: Path) -> None:
    recording = read_recording(wrist(tmp_path, "ann"))
    watch = Watch(recording, "token", 0, list(uploads(recording)))
    with pytest.raises(ExceptionGroup) as caught:
        await replay([watch], "127.0.0.1:1", math.inf, give_up_after_s=3_600)
    assert isinstance(caught.value.exceptions[0], CommandError)
    assert watch.retries == 0
