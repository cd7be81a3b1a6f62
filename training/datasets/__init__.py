"""Data sets of wrist recordings: all kinds are read as the same :class:`Recording`."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from training.datasets import (
    berkeley_mhad,
    dsads,
    e4,
    folder,
    garmin,
    harage,
    harlab,
    nurses,
    physio,
    seglearn_watch,
    selfback,
    stress_predict,
    umafall,
    uwash,
    wisdm,
)
from training.datasets.folder import read_recording, read_recordings, write_recording
from training.datasets.recording import ACTIVITIES, DatasetError, Label, Recording, Source

__all__ = [
    "ACTIVITIES",
    "FINDERS",
    "KINDS",
    "DatasetError",
    "Label",
    "Recording",
    "Source",
    "dataset_of",
    "find_sources",
    "iter_dataset",
    "open_dataset",
    "read_recording",
    "read_recordings",
    "write_recording",
]

FINDERS: dict[str, Callable[[Path], list[Source]]] = {
    "recordings": folder.find,
    "wisdm": wisdm.find,
    "e4": e4.find,
    "dsads": dsads.find,
    "dsads_arms": dsads.find_both,
    "selfback": selfback.find,
    "stress_predict": stress_predict.find,
    "harage": harage.find,
    "garmin": garmin.find,
    "uwash": uwash.find,
    "seglearn": seglearn_watch.find,
    "physio": physio.find,
    "umafall": umafall.find,
    "berkeley_mhad": berkeley_mhad.find,
    "harlab": harlab.find,
    "nurses": nurses.find,
}
"""The function that finds the recordings of each kind in a folder."""

KINDS = tuple(FINDERS)

_DATASET_BY_KIND = {"dsads_arms": "dsads"}


def dataset_of(kind: str) -> str:
    """The data set that a kind reads: the kind's own name, but ``dsads`` for ``dsads_arms``.

    Data set and name identify a person, so the people of both kinds are the same, and so are those held out.
    """
    return _DATASET_BY_KIND.get(kind, kind)


def find_sources(spec: str, people: Iterable[str] | None = None) -> list[Source]:
    """Find the recordings of ``KIND=DIR`` without reading their signals; ``people``: only theirs.

    Raises:
        DatasetError: not ``KIND=DIR``, an unknown kind, nothing to read in DIR, or an unknown person.
    """
    kind, equals, directory = spec.partition("=")
    if not equals or not directory or kind not in FINDERS:
        raise DatasetError(spec, f"expected KIND=DIR with KIND one of {', '.join(KINDS)}")
    root = Path(directory)
    if not root.exists():
        raise DatasetError(root, "no such file or directory")
    return select_people(FINDERS[kind](root), people, root)


def select_people(sources: list[Source], people: Iterable[str] | None, root: Path) -> list[Source]:
    """Keep the sources of the named people; None keeps all.

    Raises:
        DatasetError: a name is not among them; the text lists those that are.
    """
    if people is None:
        return sources
    wanted, known = set(people), {source.person for source in sources}
    if unknown := sorted(wanted - known):
        raise DatasetError(root, f"no person {unknown[0]!r} here, known are {', '.join(sorted(known))}")
    return [source for source in sources if source.person in wanted]


def iter_dataset(spec: str, people: Iterable[str] | None = None) -> Iterator[Recording]:
    """Like :func:`open_dataset`, holding one recording at a time."""
    return (source.read() for source in find_sources(spec, people))


def open_dataset(spec: str, people: Iterable[str] | None = None) -> list[Recording]:
    """Read the recordings of ``KIND=DIR`` (``wisdm=data/wisdm-dataset``); ``people``: only theirs.

    Raises:
        DatasetError: see :func:`find_sources`, or a file is malformed (the text names file and line).
    """
    return list(iter_dataset(spec, people))
