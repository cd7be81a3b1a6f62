"""Speed of training networks together and one by one: ``python benchmarks/training_stacked.py``.

For each encoder, alternating within one run on the same machine: torch's own layers in a plain loop, the stack of
training/experiment in one process, and the stack in two processes at once; one thread each. The time includes
layout of the windows, batches, validation and Adam. The windows are random numbers of the paper's shapes.
"""

import argparse
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from shared.contracts.modality import MODALITY_BY_NAME, MODALITY_NAMES
from training.experiment import reference_trainer
from training.experiment.cohort import Cohort
from training.experiment.job import Job
from training.experiment.results import Protocol, Variant
from training.experiment.stacked import Windows, train_together

TRAIN, VALIDATION = 640, 80
"""Windows per network and epoch: ten batches, and the share of validation that five inner folds have."""
PROTOCOL = Protocol("none", 5, "causal", 0.5, 0.0, 64, 1e-3, 1, 1, 0)
VARIANTS = {
    "accelerometer": (("accelerometer",), None),
    "all, concatenation": (MODALITY_NAMES, "concatenation"),
    "all, outer product": (MODALITY_NAMES, "outer_product"),
}


def make_cohort() -> Cohort:
    """Make random windows of one synthetic person."""
    rng = np.random.default_rng(0)
    n = TRAIN + VALIDATION
    features = {
        name: rng.standard_normal((n, *MODALITY_BY_NAME[name].feature_shape)).astype(np.float16)
        for name in MODALITY_NAMES
    }
    target = rng.integers(0, 2, n)
    alone = np.ones(n, dtype=bool)
    return Cohort(features, target, np.zeros(n, dtype=np.int64), alone, ("static", "dynamic"), ("made-up",), {}, True)


def jobs(networks: int) -> list[Job]:
    """One epoch each."""
    train, validation = np.arange(TRAIN), np.arange(TRAIN, TRAIN + VALIDATION)
    return [Job(train, (seed,), validation=validation) for seed in range(networks)]


def one_by_one(variant: Variant, networks: int) -> float:
    """Seconds per network."""
    torch.set_num_threads(1)
    cohort = make_cohort()
    started = time.perf_counter()
    for job in jobs(networks):
        reference_trainer.train(variant.config(cohort.classes), cohort, job, PROTOCOL)
    return (time.perf_counter() - started) / networks


def together(variant: Variant, networks: int) -> float:
    """Seconds per network."""
    torch.set_num_threads(1)
    cohort = make_cohort()
    config = variant.config(cohort.classes)
    started = time.perf_counter()
    train_together(config, Windows.of(cohort, config), jobs(networks), PROTOCOL)
    return (time.perf_counter() - started) / networks


def together_in_processes(pool: ProcessPoolExecutor, processes: int, variant: Variant, networks: int) -> float:
    """Seconds per network when every process trains a stack at the same time: the slowest one counts."""
    running = [pool.submit(together, variant, networks) for _ in range(processes)]
    return max(future.result() for future in running) / processes


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--networks", type=int, default=20, help="in a stack: four outer folds with five inner ones")
    parser.add_argument("--plain-networks", type=int, default=2, help="in the plain loop, whose time is per network")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    console = Console(width=120)
    batches = TRAIN // PROTOCOL.batch_size
    table = Table("encoder", "network", "plain", "stack", f"{options.processes} processes", "stack", "all", box=None)
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        for encoder in ("cnn", "gru"):
            for name, (modalities, fusion) in VARIANTS.items():
                variant = Variant(encoder, modalities, fusion)
                together_in_processes(pool, options.processes, variant, 1)  # imports and first touches
                rounds = [
                    (
                        one_by_one(variant, options.plain_networks),
                        together(variant, options.networks),
                        together_in_processes(pool, options.processes, variant, options.networks),
                    )
                    for _ in range(options.rounds)
                ]
                times = [median(seconds) / batches * 1000 for seconds in zip(*rounds, strict=True)]
                ratios = [median(r[0] / r[which] for r in rounds) for which in (1, 2)]
                table.add_row(encoder, name, *(f"{ms:.2f} ms" for ms in times), *(f"{ratio:.1f}x" for ratio in ratios))
    console.print(
        f"per network and batch of {PROTOCOL.batch_size}; medians of {options.rounds} rounds; load on the "
        f"machine {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"
    )
    console.print(table)


if __name__ == "__main__":
    main()
