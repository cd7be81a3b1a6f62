"""From result files to numbers: one score per variant, and what all of them have in common."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.recording import DatasetError
from training.experiment.results import LEAVE_ONE_OUT, Fold, Header, read_results
from training.experiment.variants import ENCODERS
from training.metrics import recalls


@dataclass(frozen=True, slots=True)
class Score:
    """One variant's finished folds."""

    header: Header
    folds: tuple[Fold, ...]

    @property
    def folds_expected(self) -> int:
        """Outer folds of the whole run: one per person, or as many as the protocol says."""
        outer = self.header.protocol.outer
        return len(self.header.people) if outer == LEAVE_ONE_OUT else int(outer.split()[0])

    @property
    def is_complete(self) -> bool:
        """Every outer fold is finished."""
        return len(self.folds) == self.folds_expected

    @property
    def uar_by_person(self) -> dict[str, float]:
        """UAR of each person tested so far, over the classes that the person has."""
        return {
            person: float(np.nanmean(recalls(np.array(matrix))))
            for fold in self.folds
            for person, matrix in fold.confusion.items()
            if np.any(matrix)
        }

    @property
    def mean(self) -> float:
        """Mean of the people's UAR; NaN where nobody was tested."""
        values = list(self.uar_by_person.values())
        return float(np.mean(values)) if values else float("nan")

    @property
    def standard_deviation(self) -> float:
        """Sample standard deviation of the people's UAR; NaN below two people."""
        values = list(self.uar_by_person.values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(classes, classes) counts of everybody's windows: rows the truth, columns what was said."""
        size = len(self.header.classes)
        total = np.zeros((size, size), dtype=np.int64)
        for fold in self.folds:
            for matrix in fold.confusion.values():
                total += np.array(matrix)
        return total


def read_scores(directory: Path) -> list[Score]:
    """The variants of one run, by file name.

    Raises:
        DatasetError: there is no result file, one is malformed, or two are of different tasks, data sets or classes, or
            one is of made-up people and another of real ones.
    """
    paths = sorted(directory.glob("*.jsonl"))
    if not paths:
        raise DatasetError(directory, "no result file (VARIANT.jsonl) here")
    scores: list[Score] = []
    for path in paths:
        results = read_results(path)
        score = Score(results.header, results.folds)
        outer = score.header.protocol.outer
        if outer != LEAVE_ONE_OUT and not re.fullmatch(r"[1-9]\d* folds by person", outer):
            raise DatasetError(path, f"outer protocol {outer!r}: neither {LEAVE_ONE_OUT} nor K folds by person", 1)
        for name in ("synthetic", "task", "dataset", "classes"):
            first, value = getattr(scores[0].header, name) if scores else None, getattr(score.header, name)
            if scores and first != value:
                raise DatasetError(path, f"{name} is {value!r}, in {paths[0].name} it is {first!r}", 1)
        scores.append(score)
    return scores


def best(scores: list[Score]) -> Score | None:
    """The complete variant with the highest mean; where none is complete, the one with the most folds finished."""
    tested = [score for score in scores if score.uar_by_person]
    complete = [score for score in tested if score.is_complete]
    if complete:
        return max(complete, key=lambda score: score.mean)
    return max(tested, key=lambda score: (len(score.folds) / score.folds_expected, score.mean), default=None)


def best_by_encoder(scores: Sequence[Score]) -> list[tuple[str, Score]]:
    """Each encoder that has been tested at all, with its best variant."""
    chosen: list[tuple[str, Score]] = []
    for encoder in ENCODERS:
        found = best([score for score in scores if score.header.variant.encoder == encoder])
        if found:
            chosen.append((encoder, found))
    return chosen
