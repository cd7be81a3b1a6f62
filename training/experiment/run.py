"""One run: the chosen variants of a task on one data set, fold by fold into files, from where the last run ended."""

import platform
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import scipy
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from shared.contracts.labels import LABEL_SETS
from shared.signal.features import FEATURE_VERSION
from training.datasets.recording import DatasetError
from training.experiment.cohort import Cohort, read_cohort
from training.experiment.nested import INNER_FOLDS, People, outer_folds, run_folds
from training.experiment.results import (
    LEAVE_ONE_OUT,
    Encoder,
    Fold,
    Header,
    Protocol,
    Variant,
    append_fold,
    open_results,
    read_results,
    results_path,
)
from training.experiment.segments import BaselineKind
from training.experiment.stacked import Windows
from training.experiment.variants import ENCODERS, choose
from training.metrics import recalls

FOLDS_TOGETHER = 4
"""Outer folds at most that are trained as one stack: 20 inner networks gain nearly all; an interruption costs them."""

Task = tuple[Variant, list[tuple[int, People]]]


@dataclass(frozen=True, slots=True)
class Experiment:
    """What to run; ``outer``: number of folds by person, None leaves one person out at a time."""

    task: str
    dataset: str
    out: Path
    encoders: Sequence[Encoder] = ENCODERS
    variants: Sequence[str] = ()
    outer: int | None = None
    baseline: BaselineKind = "transductive"
    minutes_per_activity: float | None = None
    seed: int = 0
    processes: int = 1

    def protocol(self) -> Protocol:
        """The paper's numbers (section 4.3) with what was chosen here."""
        return Protocol(
            outer=LEAVE_ONE_OUT if self.outer is None else f"{self.outer} folds by person",
            inner_folds=INNER_FOLDS,
            baseline=self.baseline,
            train_overlap=0.5,
            test_overlap=0.0,
            batch_size=64,
            learning_rate=1e-3,
            max_epochs=150,
            patience=20,
            seed=self.seed,
            minutes_per_activity=self.minutes_per_activity,
        )


def run_experiment(experiment: Experiment, console: Console) -> list[Path]:
    """Run what is not there yet; returns the variants' files. Finished folds are on the disk, whatever happens then.

    Raises:
        DatasetError: something cannot be read, nobody is left, too few people for the folds, a variant is not possible,
            or ``out`` holds another run.
    """
    if experiment.task not in LABEL_SETS:
        raise DatasetError(f"task {experiment.task!r}", f"known are {', '.join(LABEL_SETS)}")
    protocol = experiment.protocol()
    with _progress(console) as progress:
        reading = progress.add_task("reading people", total=None)
        cohort = read_cohort(
            experiment.dataset,
            experiment.task,
            experiment.baseline,
            experiment.minutes_per_activity,
            on_person=lambda done, total: progress.update(reading, completed=done, total=total),
        )
    for person, why in cohort.left_out.items():
        console.print(f"{person} is left out: {why}")
    console.print(
        f"{len(cohort.target)} windows of {len(cohort.people)} people, {int(cohort.alone.sum())} without overlap; "
        f"classes {', '.join(cohort.classes)}{'; SYNTHETIC' if cohort.synthetic else ''}"
    )
    folds = list(enumerate(outer_folds(cohort.people, experiment.outer, experiment.seed)))
    chosen = choose(experiment.variants, experiment.encoders, cohort.modalities)
    tasks: list[Task] = []
    done = 0
    for variant in chosen:
        header = _header(experiment, cohort, variant, protocol)
        finished = {fold.fold for fold in open_results(results_path(experiment.out, variant), header).folds}
        left = [fold for fold in folds if fold[0] not in finished]
        # Groups alike in size: a last one of a single fold would gain little from being a stack.
        groups = -(-len(left) // FOLDS_TOGETHER)
        tasks += [
            (variant, left[group * len(left) // groups : (group + 1) * len(left) // groups]) for group in range(groups)
        ]
        done += len(finished)
    with _progress(console) as progress:
        bar = progress.add_task("folds", total=len(folds) * len(chosen), completed=done)
        for variant, fold in _work(cohort, protocol, tasks, experiment.processes):
            path = results_path(experiment.out, variant)
            append_fold(path, fold)
            progress.update(bar, advance=1, description=variant.name)
            if len(results := read_results(path).folds) == len(folds):
                console.print(f"{variant.name}: {_score(results)}")
    return [results_path(experiment.out, variant) for variant in chosen]


def _header(experiment: Experiment, cohort: Cohort, variant: Variant, protocol: Protocol) -> Header:
    return Header(
        task=experiment.task,
        dataset=experiment.dataset.partition("=")[0],
        synthetic=cohort.synthetic,
        variant=variant,
        classes=cohort.classes,
        protocol=protocol,
        people=cohort.people,
        left_out=cohort.left_out,
        versions={
            "features": str(FEATURE_VERSION),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "torch": str(torch.__version__),
        },
    )


def _score(folds: Sequence[Fold]) -> str:
    """Mean and standard deviation of the UAR over people."""
    uars = [np.nanmean(recalls(np.array(matrix))) for fold in folds for matrix in fold.confusion.values()]
    minutes = sum(fold.seconds for fold in folds) / 60
    return f"UAR {np.mean(uars):.3f} ± {np.std(uars):.3f} over {len(uars)} people, {minutes:.1f} min"


class _Worker:
    """Runs tasks in one process; the layout of the last variant's windows is kept for the next task."""

    def __init__(self, cohort: Cohort, protocol: Protocol) -> None:
        # The networks are small: more threads make one no faster, more processes make all of them so.
        torch.set_num_threads(1)
        self._cohort, self._protocol = cohort, protocol
        self._laid_out: tuple[tuple[str, tuple[str, ...]], Windows] | None = None

    def run(self, task: Task) -> list[tuple[Variant, Fold]]:
        """The folds of one task."""
        variant, folds = task
        kind = (variant.encoder, variant.modalities)
        if self._laid_out is None or self._laid_out[0] != kind:
            self._laid_out = None  # let the old one go before the new one comes
            self._laid_out = kind, Windows.of(self._cohort, variant.config(self._cohort.classes))
        found = run_folds(self._cohort, self._laid_out[1], variant, self._protocol, folds)
        return [(variant, fold) for fold in found]


_worker: _Worker | None = None


def _start(cohort: Cohort, protocol: Protocol) -> None:
    global _worker
    _worker = _Worker(cohort, protocol)


def _run(task: Task) -> list[tuple[Variant, Fold]]:
    assert _worker is not None  # the pool has started it
    return _worker.run(task)


def _work(cohort: Cohort, protocol: Protocol, tasks: Sequence[Task], processes: int) -> Iterator[tuple[Variant, Fold]]:
    """Finished folds as they come."""
    if processes == 1:
        worker = _Worker(cohort, protocol)
        for task in tasks:
            yield from worker.run(task)
        return
    with ExitStack() as stack:
        # Spawned, not forked: torch's threads do not survive a fork.
        pool = ProcessPoolExecutor(processes, get_context("spawn"), _start, (cohort, protocol))
        stack.callback(pool.shutdown, cancel_futures=True)
        for future in as_completed([pool.submit(_run, task) for task in tasks]):
            yield from future.result()


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
