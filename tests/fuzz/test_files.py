"""Files that people hand over: a recording is read or is a DatasetError, a manifest is read or is a BundleError."""

import contextlib
import gzip
import json
import tempfile
from pathlib import Path

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.errors import BundleError
from shared.model.bundle import MANIFEST, read_manifest
from tests.bundles import random_bundle
from tests.fuzz.mutations import JSON_ODD, NESTED_JSON, hostile, mutated
from training.datasets.folder import read_recording
from training.datasets.recording import DatasetError, Recording

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
    else:
        assert file[0].removesuffix(".gz") in str(found)


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
