"""Files that people hand over: a recording is read or is a DatasetError, a manifest is read or is a BundleError."""

import contextlib
import gzip
import json
import tempfile
from pathlib import Path

import msgspec
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gaitway.expected import expected_windows
from shared.contracts.errors import BundleError
from shared.contracts.upload import Upload, to_records
from shared.model.bundle import MANIFEST, read_manifest
from tests.bundles import random_bundle
from tests.fuzz.mutations import JSON_ODD, NESTED_JSON, hostile, mutated
from training.datasets.folder import read_recording
from training.datasets.recording import DatasetError, G, Recording
from training.offline import assemble
from training.upload_simulator import uploads

ACCELEROMETER = b"t_ms,x,y,z\n" + b"".join(b"%d,12,-33,980\n" % (1_668_000_000_000 + 40 * i) for i in range(8))
HEART_RATE = b"t_ms,bpm\n1668000000000,72\n1668000001000,\n1668000002000,73.5\n"
STEPS = b"t_ms,total\n1668000000000,4011\n1668000001000,4012\n"
LABELS = b"start_ms,end_ms,activity,intensity\n1668000000000,1668000001000,walking,low\n"
ABOUT = {"person": "p1", "device": "w", "source": "s", "licence": "l", "notes": {"a": "b"}, "utc_offset_min": 60}
WHOLE = {
    "accelerometer.csv": ACCELEROMETER,
    "heart_rate.csv": HEART_RATE,
    "steps.csv": STEPS,
    "labels.csv": LABELS,
    "recording.json": json.dumps(ABOUT).encode(),
}
CELLS = [
    b"nan",
    b"inf",
    b"1e999",
    b"1e300",
    b"-1e300",
    b"9223372036854775808",
    b"",
    b'"',
    b"1_0",
    b"\x00",
    b"\xff",
    b"0x1",
    b"-1",
    b"300",
    b"40000",
    b"1668000000",
    b"1668000000000000",
    b"1668000000000000000",
    b"4102444799999",
]


@st.composite
def changed(draw: st.DrawFn) -> tuple[str, bytes]:
    """One file of the recording, and what became of it."""
    name = draw(st.sampled_from(sorted(WHOLE)))
    if name == "recording.json":
        return name, draw(hostile(WHOLE[name], ABOUT, lambda tree: json.dumps(tree).encode(), JSON_ODD))
    lines = WHOLE[name].split(b"\n")
    row = draw(st.integers(0, len(lines) - 2))
    cells = lines[row].split(b",")
    cells[draw(st.integers(0, len(cells) - 1))] = draw(st.sampled_from(CELLS))
    lines[row] = b",".join(cells)
    data = draw(st.just(b"\n".join(lines)) | mutated(WHOLE[name]) | st.binary(max_size=100))
    if draw(st.integers(0, 3)) == 0:
        return f"{name}.gz", draw(st.just(gzip.compress(data, mtime=0)) | mutated(gzip.compress(data, mtime=0)))
    return name, data


def read(name: str, data: bytes) -> Recording | DatasetError:
    with tempfile.TemporaryDirectory() as folder:
        for other, content in WHOLE.items():
            if other != name.removesuffix(".gz"):
                (Path(folder) / other).write_bytes(content)
        (Path(folder) / name).write_bytes(data)
        try:
            return read_recording(Path(folder))
        except DatasetError as error:
            return error


def test_the_recording_is_valid():
    assert isinstance(read("steps.csv", STEPS), Recording)


@settings(max_examples=400, deadline=None)
@given(changed())
@example(("steps.csv", STEPS.replace(b"4011", b"1e300")))
@example(("steps.csv", STEPS.replace(b"4011", b"9223372036854775808")))
@example(("labels.csv", LABELS.replace(b"walking", b'"' + b"w" * 140_000 + b'"')))
@example(("labels.csv", LABELS.replace(b"walking", b"\x00")))
@example(("recording.json", NESTED_JSON))
@example(("recording.json", b'{"utc_offset_min": ' + b"9" * 5_000 + b"}"))
def test_a_recording_is_read_or_says_what_is_wrong(file):
    found = read(*file)
    if isinstance(found, Recording):
        assert len(found.accelerometer_t_ms) == len(found.accelerometer_mg)
        assert len(found.steps_t_ms) == len(found.steps_total)
        assert (found.steps_total >= 0).all()
        for upload in uploads(found):
            sent = msgspec.json.decode(msgspec.json.encode(upload), type=Upload)
            to_records(sent, sent.sent_at_ms)
    else:
        assert file[0].removesuffix(".gz") in str(found)


UNITS = {"mg": 1.0, "g": 1e-3, "m/s2": G / 1000}
STAMPS = {"ms": 1.0, "seconds": 1e-3, "µs": 1e3, "ns": 1e6}


@settings(max_examples=100, deadline=None)
@given(
    rate_hz=st.floats(3, 500),
    decimals=st.integers(0, 4),
    jitter=st.sampled_from([0.0, 0.1, 0.5]),
    burst_ms=st.sampled_from([0, 0, 0, 100, 240, 260]),
    dropped=st.sampled_from([0.0, 0.0, 0.05, 0.3]),
    begin_ms=st.integers(0, 20_000),
    seed=st.integers(0, 9),
)
@example(rate_hz=99.65, decimals=1, jitter=0.0, burst_ms=0, dropped=0.0, begin_ms=0, seed=0)
@example(rate_hz=24.9, decimals=3, jitter=0.0, burst_ms=0, dropped=0.0, begin_ms=0, seed=0)
@example(rate_hz=62.0, decimals=2, jitter=0.0, burst_ms=240, dropped=0.0, begin_ms=0, seed=0)
def test_any_rate_is_sent_and_yields_the_windows_that_are_expected(
    rate_hz, decimals, jitter, burst_ms, dropped, begin_ms, seed
):
    random = np.random.default_rng(seed)
    t_ms = np.arange(0, 45_000, 1000 / rate_hz)
    t_ms = t_ms[random.random(len(t_ms)) >= dropped]
    t_ms = np.sort(t_ms + random.uniform(0, jitter * 1000 / rate_hz, len(t_ms)))
    if burst_ms:
        # As a radio hands them over: several at a time, with hardly any time between them.
        t_ms = np.ceil(t_ms / burst_ms) * burst_ms + 0.01 * (np.arange(len(t_ms)) % 100)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), np.round(1_795_000_000_000 + begin_ms + t_ms, decimals))
        found = read_recording(Path(folder))
        for upload in uploads(found):
            sent = msgspec.json.decode(msgspec.json.encode(upload), type=Upload)
            to_records(sent, sent.sent_at_ms)
        starts = [window.window_start_ms for window in assemble(found).windows]
        assert sorted(starts) == expected_windows(Path(folder))


@settings(max_examples=60, deadline=None)
@given(unit=st.sampled_from(sorted(UNITS)), stamp=st.sampled_from(sorted(STAMPS)), swing=st.floats(0, 1.5))
def test_units_are_distinguished(unit, stamp, swing):
    t_ms = 1_795_000_000_000 + np.arange(0, 20_000, 40.0)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), t_ms * STAMPS[stamp], UNITS[unit], swing)
        try:
            read_recording(Path(folder))
            error_text = ""
        except DatasetError as error:
            error_text = str(error)
    wrong = [name for name in (unit, stamp) if name not in ("mg", "ms")]
    assert any(f"looks like {name}" in error_text for name in wrong) if wrong else not error_text


def write(folder: Path, t_ms: np.ndarray, factor: float = 1.0, swing: float = 0.1) -> None:
    """A wrist's acceleration at these stamps, in mg times ``factor``."""
    phase = np.arange(len(t_ms)) / 9
    mg = np.stack([600 + 1000 * swing * np.sin(phase), np.full(len(t_ms), 80.0), 800 + 300 * swing * np.cos(phase)], 1)
    rows = (",".join(map(repr, row)) for row in np.column_stack([t_ms, mg * factor]).tolist())
    (folder / "accelerometer.csv").write_text("t_ms,x,y,z\n" + "\n".join(rows) + "\n")


def manifest() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return (random_bundle(Path(folder)) / MANIFEST).read_bytes()


MANIFEST_BYTES = manifest()


@settings(max_examples=300, deadline=None)
@given(hostile(MANIFEST_BYTES, msgspec.json.decode(MANIFEST_BYTES), lambda tree: json.dumps(tree).encode(), JSON_ODD))
@example(NESTED_JSON)
@example(MANIFEST_BYTES.replace(b"Apache-2.0", b"\xff"))
@example(b'{"name":' + NESTED_JSON)
def test_a_manifest_is_read_or_says_what_is_wrong(data):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST).write_bytes(data)
        with contextlib.suppress(BundleError):
            found = read_manifest(Path(folder))
            assert found.config.fused_features
            assert found.temperature > 0
            assert 0 <= found.abstain_below < 1
