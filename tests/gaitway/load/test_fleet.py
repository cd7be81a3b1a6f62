"""What a fleet sends and what it must get back."""

from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest

from gaitway.expected import phase_ms
from gaitway.load.fleet import Fleet, request_head
from gaitway.load.templates import PERIOD_MS, make_templates
from services.ingest.validation import decode_upload
from shared.contracts.upload import to_records
from tests.shared.windows.signals import BASE_MS
from training.datasets import find_sources


@pytest.fixture(scope="module")
def templates() -> list[bytes]:
    sources = find_sources("recordings=examples/recordings", ("e4-S03", "garmin-1"))
    return make_templates((source.read() for source in sources), session="s1")


def fleet(templates: list[bytes], watches: int = 7, begin_ms: int = BASE_MS, *, phase_per_user: bool = True) -> Fleet:
    users = [f"u{n}" for n in range(watches)]
    return Fleet(
        users, [request_head("h", 80, user) for user in users], templates, begin_ms, phase_per_user=phase_per_user
    )


def body_of(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    assert int(head.rpartition(b"Content-Length: ")[2]) == len(body)
    return body


def test_every_upload_is_whole_and_the_gateway_takes_it(templates):
    assert len(templates) > 100
    for template in templates:
        upload = decode_upload(template % (3, BASE_MS, *[BASE_MS - PERIOD_MS] * 3))
        assert [record.n for record in to_records(upload, BASE_MS)] == [125, 5, 5]


def test_a_watch_leaves_no_gap_and_its_phase_is_its_own(templates):
    some = fleet(templates)
    starts: dict[int, list[int]] = {}
    for upload in some.uploads(3):
        body = msgspec.json.decode(body_of(some.request(upload)))
        assert body["seq"] == upload.step
        assert body["sent_at_ms"] == BASE_MS + int(upload.due_ms)
        starts.setdefault(upload.watch, []).append(body["accelerometer"]["t0_ms"])
    assert all(later - earlier == PERIOD_MS for t0 in starts.values() for earlier, later in pairwise(t0))
    assert len({t0[0] % PERIOD_MS for t0 in starts.values()}) == len(some)


def test_the_library_goes_round(templates):
    one = fleet(templates, watches=1)
    sent = list(one.uploads(len(templates) + 1))
    first, again = one.request(sent[0]), one.request(sent[-1])
    assert (
        msgspec.json.decode(body_of(first))["accelerometer"]["x"]
        == (msgspec.json.decode(body_of(again))["accelerometer"]["x"])
    )


@pytest.mark.parametrize("begin_ms", [BASE_MS, BASE_MS + 1, BASE_MS + 9_999])
@pytest.mark.parametrize("phase_per_user", [True, False])
def test_the_windows_that_a_stream_fills(templates, begin_ms, phase_per_user):
    watch = fleet(templates, watches=1, begin_ms=begin_ms, phase_per_user=phase_per_user)
    begin, end = begin_ms - PERIOD_MS, begin_ms + 11 * PERIOD_MS
    grid_ms = BASE_MS - 50_000 + (phase_ms("u0", 10_000) if phase_per_user else 0)
    filled = [s for s in range(grid_ms, BASE_MS + 100_000, 10_000) if begin <= s and s + 20_000 <= end]
    assert list(watch.expected(0, 12, 10_000)) == filled


def test_watches_join_in_turn_and_each_uploads_as_long(templates):
    some = replace(fleet(templates), ramp_steps=3)
    sent = list(some.uploads(4))
    assert [upload.due_ms for upload in sent] == sorted(upload.due_ms for upload in sent)
    assert all([upload.step for upload in sent if upload.watch == watch] == [0, 1, 2, 3] for watch in range(7))
    assert {upload.watch for upload in sent if upload.due_ms < PERIOD_MS} == {0, 3, 6}
    assert all(some.end_ms(upload.watch, upload.step) == BASE_MS + int(upload.due_ms) for upload in sent)
