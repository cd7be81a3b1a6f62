"""The roll-out file."""

import threading
from pathlib import Path

import pytest

from shared.contracts.errors import BundleError
from shared.model.rollout import RollOut, decode_rollout, folder_of, name_of, read_rollout, write_rollout


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "rollout.json"
    for rollout in (RollOut("a"), RollOut("a", "../b", "/c")):
        write_rollout(path, rollout)
        assert read_rollout(path) == rollout
    assert [file.name for file in tmp_path.iterdir()] == ["rollout.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_shorter_file_is_enough(tmp_path: Path) -> None:
    assert decode_rollout(tmp_path, b'{"live": "default"}') == RollOut("default", None, None)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "truncated"),
        (b"{}", "live"),
        (b'{"live": 1}', "str"),
        (b'{"live": "a", "shadwo": "b"}', "shadwo"),
        (b"\xff", "json"),
        (b"[" * 100_000, "json"),
    ],
)
def test_what_is_no_rollout_file_is_named(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "rollout.json"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=says) as caught:
        read_rollout(path)
    assert str(caught.value).startswith(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"rollout.json: No such file"):
        read_rollout(tmp_path / "rollout.json")


def test_the_steps_of_a_rollout() -> None:
    shadowed = RollOut("a", "b")
    assert shadowed.promoted() == RollOut("b", None, "a")
    assert shadowed.promoted().rolled_back() == RollOut("a", None, None)
    assert RollOut("b", "c", "a").rolled_back() == RollOut("a", "c", None)
    assert RollOut("b", "a", "a").rolled_back() == RollOut("a", None, None)
    with pytest.raises(BundleError, match="no shadow"):
        RollOut("a").promoted()
    with pytest.raises(BundleError, match="no previous"):
        RollOut("a", "b").rolled_back()


def test_a_bundle_is_named_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config" / "rollout.json"
    path.parent.mkdir()
    name = name_of(path, tmp_path / "models" / "a")
    assert name == "../models/a"
    assert folder_of(path, name).resolve() == tmp_path / "models" / "a"
    assert folder_of(path, "/models/a") == Path("/models/a")


def test_a_reader_never_sees_a_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rollout.json"
    long, short = RollOut("a" * 50_000), RollOut("b")
    write_rollout(path, long)
    over = threading.Event()

    def write() -> None:
        for _ in range(100):
            write_rollout(path, short)
            write_rollout(path, long)
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not over.is_set():
        assert read_rollout(path) in (long, short)
    writer.join()
