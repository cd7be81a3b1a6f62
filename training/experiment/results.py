"""The results of one variant as JSON Lines: a header, then one line per finished outer fold, appended whole.

What was written before a crash stands; a line that was not finished is dropped when the run goes on.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from shared.contracts.modality import MODALITY_NAMES
from shared.model.network import NetworkConfig
from training.datasets.recording import DatasetError

Encoder = Literal["cnn", "gru"]
Fusion = Literal["concatenation", "outer_product"]
"""The paper's; shared.model.network knows more."""


LEAVE_ONE_OUT = "leave-one-subject-out"


class Variant(Struct, frozen=True, forbid_unknown_fields=True):
    """One network of the paper; ``modalities`` in the catalogue's order, no fusion for a single one."""

    encoder: Encoder
    modalities: tuple[str, ...]
    fusion: Fusion | None = None

    @property
    def name(self) -> str:
        """``cnn_accelerometer``, ``gru_accelerometer+heart_rate_concatenation``."""
        return "_".join([self.encoder, "+".join(self.modalities), *([self.fusion] if self.fusion else [])])

    def config(self, classes: tuple[str, ...]) -> NetworkConfig:
        """The network of this variant; raises ValueError where there is none."""
        return NetworkConfig(classes, self.modalities, self.encoder, self.fusion or "concatenation")


class Protocol(Struct, frozen=True, forbid_unknown_fields=True):
    """How people were split and networks trained; ``outer`` is LEAVE_ONE_OUT or "K folds by person"."""

    outer: str
    inner_folds: int
    baseline: str
    train_overlap: float
    test_overlap: float
    batch_size: int
    learning_rate: float
    max_epochs: int
    patience: int
    seed: int
    minutes_per_activity: float | None = None


class Header(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="header"):
    """What the folds of one file have in common. ``left_out``: person -> why; ``versions``: of code that decides."""

    task: str
    dataset: str
    synthetic: bool
    variant: Variant
    classes: tuple[str, ...]
    protocol: Protocol
    people: tuple[str, ...]
    left_out: dict[str, str]
    versions: dict[str, str]


class Fold(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="fold"):
    """One outer fold. ``epochs``: those that the outer network was trained for, the median of ``inner_epochs`` run.

    ``confusion``: test person -> counts, rows the truth, columns what was said, in the order of the header's classes.
    ``seconds``: wall time; folds that were trained together share it evenly.
    """

    fold: int
    test_people: tuple[str, ...]
    epochs: int
    inner_epochs: tuple[int, ...]
    confusion: dict[str, tuple[tuple[int, ...], ...]]
    seconds: float


@dataclass(frozen=True, slots=True)
class Results:
    """One file: its header and the folds that are finished, in the order in which they were written."""

    header: Header
    folds: tuple[Fold, ...]


_decoder = msgspec.json.Decoder(Header | Fold)


def results_path(directory: Path, variant: Variant) -> Path:
    """Where a variant's results lie."""
    return directory / f"{variant.name}.jsonl"


def read_results(path: Path) -> Results:
    """Read one file; a torn last line is left out.

    Raises:
        DatasetError: the file cannot be read, has no header, or a line is not of this format.
    """
    return _parse(path, _whole_lines(path))


def open_results(path: Path, header: Header) -> Results:
    """Begin a file, or go on with one: what is torn is cut off. Returns what is there.

    Raises:
        DatasetError: the file is of another run (the text names what differs), or is malformed.
    """
    content = _whole_lines(path) if path.exists() else b""
    if not content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        _append(path, header)
        return Results(header, ())
    results = _parse(path, content)
    if differing := _difference(msgspec.to_builtins(results.header), msgspec.to_builtins(header)):
        raise DatasetError(path, f"is of another run: {differing}; choose another folder or remove it", 1)
    if len(content) < path.stat().st_size:
        os.truncate(path, len(content))
    return results


def append_fold(path: Path, fold: Fold) -> None:
    """Add a finished fold; it is on the disk when this returns."""
    _append(path, fold)


def _append(path: Path, line: Header | Fold) -> None:
    with path.open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _whole_lines(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(path, f"cannot be read: {error.strerror}") from error
    return content[: content.rfind(b"\n") + 1]


def _parse(path: Path, content: bytes) -> Results:
    header, folds = None, list[Fold]()
    for number, text in enumerate(content.splitlines(), start=1):
        try:
            line = _decoder.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DatasetError(path, str(error), number) from error
        if isinstance(line, Header) != (number == 1):
            raise DatasetError(path, "the header must be the first line and the only one", number)
        if isinstance(line, Header):
            header = line
            _check_header(path, header)
        else:
            assert header is not None  # line 1 was one
            _check_fold(path, number, header, line, {fold.fold for fold in folds})
            folds.append(line)
    if header is None:
        raise DatasetError(path, "no header")
    return Results(header, tuple(folds))


def _check_header(path: Path, header: Header) -> None:
    if tuple(name for name in MODALITY_NAMES if name in header.variant.modalities) != header.variant.modalities:
        raise DatasetError(
            path, f"modalities {', '.join(header.variant.modalities)}: of {', '.join(MODALITY_NAMES)} in order", 1
        )
    try:
        header.variant.config(header.classes)
    except ValueError as error:
        raise DatasetError(path, str(error), 1) from error


def _check_fold(path: Path, number: int, header: Header, fold: Fold, finished: set[int]) -> None:
    if fold.fold in finished:
        raise DatasetError(path, f"fold {fold.fold} is there twice", number)
    if unknown := sorted(set(fold.test_people) - set(header.people)):
        raise DatasetError(path, f"test person {unknown[0]!r} is not in the header", number)
    if set(fold.confusion) != set(fold.test_people):
        raise DatasetError(path, "confusion has other people than test_people", number)
    size = len(header.classes)
    for person, matrix in fold.confusion.items():
        if len(matrix) != size or any(len(row) != size for row in matrix):
            raise DatasetError(path, f"confusion of {person} is not {size} x {size}", number)


def _difference(there: object, wanted: object, name: str = "") -> str:
    """The first value in which two headers differ, by its path; empty where they agree."""
    if isinstance(there, Mapping) and isinstance(wanted, Mapping):
        for key in [*there, *(key for key in wanted if key not in there)]:
            found = _difference(there.get(key), wanted.get(key), f"{name}.{key}" if name else str(key))
            if found:
                return found
        return ""
    # Structs come as tuples or lists, whichever way they were made.
    same = list(there) == list(wanted) if isinstance(there, list | tuple) and isinstance(wanted, list | tuple) else None
    return "" if (there == wanted if same is None else same) else f"{name} is {there!r} there and {wanted!r} now"
