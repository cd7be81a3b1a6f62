"""The result files: appended whole, gone on with after a torn line, never mixed with another run."""

from pathlib import Path

import msgspec
import pytest

from tests.training.noise_cohort import protocol
from training.datasets import DatasetError
from training.experiment.results import (
    Fold,
    Header,
    Variant,
    append_fold,
    open_results,
    read_results,
    results_path,
)
from training.experiment.variants import choose, variants

VARIANT = Variant("cnn", ("accelerometer", "heart_rate"), "outer_product")
HEADER = Header(
    "har2", "e4", True, VARIANT, ("static", "dynamic"), protocol(), ("a", "b"), {"c": "why"}, {"torch": "1"}
)


def fold(number: int, person: str) -> Fold:
    return Fold(number, (person,), 3, (1, 2, 3, 4, 5), {person: ((3, 1), (0, 4))}, 1.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = results_path(tmp_path / "new", VARIANT)
    open_results(path, HEADER)
    append_fold(path, fold(0, "a"))
    return path


def test_what_is_written_is_read(path: Path) -> None:
    append_fold(path, fold(1, "b"))
    results = read_results(path)
    assert (results.header, results.folds) == (HEADER, (fold(0, "a"), fold(1, "b")))
    assert path.name == "cnn_accelerometer+heart_rate_outer_product.jsonl"


@pytest.mark.parametrize("torn", [b'{"kind":"fold","fo', b'{"kind":"fold"}', b"\xff"])
def test_a_torn_line_is_dropped_and_its_fold_written_again(path: Path, torn: bytes) -> None:
    with path.open("ab") as file:
        file.write(torn)
    assert read_results(path).folds == (fold(0, "a"),)
    assert open_results(path, HEADER).folds == (fold(0, "a"),)
    append_fold(path, fold(1, "b"))
    assert read_results(path).folds == (fold(0, "a"), fold(1, "b"))


def test_a_torn_header_is_a_new_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(DatasetError, match="no header"):
        read_results(path)
    assert open_results(path, HEADER).folds == ()
    assert read_results(path).header == HEADER


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"protocol": protocol(seed=7)}, "protocol.seed is 0 there and 7 now"),
        ({"people": ("a", "d")}, r"people is .*'b'.* there and .*'d'.* now"),
        ({"left_out": {}}, "left_out.c is 'why' there and None now"),
        ({"versions": {"torch": "2"}}, "versions.torch is '1' there and '2' now"),
    ],
)
def test_another_run_is_not_gone_on_with(path: Path, changed: dict, named: str) -> None:
    before = path.read_bytes()
    with pytest.raises(DatasetError, match=named):
        open_results(path, msgspec.structs.replace(HEADER, **changed))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (b"{}", ":3: "),
        (msgspec.json.encode(HEADER), ":3: the header must be the first line"),
        (msgspec.json.encode(fold(0, "b")), ":3: fold 0 is there twice"),
        (msgspec.json.encode(fold(1, "z")), ":3: test person 'z' is not in the header"),
        (msgspec.json.encode(msgspec.structs.replace(fold(1, "b"), confusion={})), ":3: confusion has other people"),
        (
            msgspec.json.encode(msgspec.structs.replace(fold(1, "b"), confusion={"b": ((1, 2),)})),
            ":3: confusion of b is not 2 x 2",
        ),
    ],
)
def test_a_line_that_cannot_be_is_named(path: Path, line: bytes, named: str) -> None:
    with path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(DatasetError, match=named):
        read_results(path)


def test_the_22_variants() -> None:
    every = variants()
    assert len(every) == len({variant.name for variant in every}) == 22
    assert sum(variant.fusion is None for variant in every) == 6
    assert all(variant.config(("static", "dynamic")).fused_features for variant in every)


def test_variants_are_chosen_by_name_and_what_the_data_have() -> None:
    names = ["gru_steps", "cnn_accelerometer+steps_concatenation"]
    assert [variant.name for variant in choose(names, ("cnn", "gru"), ("accelerometer", "steps"))] == names
    with pytest.raises(DatasetError, match="variant 'cnn_heart_rate': not possible here, known are cnn_accelerometer"):
        choose(["cnn_heart_rate"], ("cnn",), ("accelerometer", "steps"))
