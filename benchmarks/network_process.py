"""The network alone, in a process with one thread: a contestant's cost by batch size, and its probabilities.

A contestant is a module with a function from windows to probabilities, which it passes to ``contend``:

    python -m MODULE WINDOWS RESULT SECONDS

WINDOWS holds the values of records of activity.windows, as one MessagePack array; RESULT is JSON. The measured work
begins with decoded windows and ends with probabilities. The process does nothing else, so its CPU time is the result.
"""

import sys
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Round
from shared.contracts.window import WindowRecord, decode_window

BATCHES = (1, 8, 32, 128, 512)

Predict = Callable[[Sequence[WindowRecord]], NDArray[np.floating]]


class NetworkResult(msgspec.Struct, frozen=True):
    """``rounds`` by batch size; ``probabilities`` of all windows, (n, classes)."""

    rounds: dict[int, Round]
    probabilities: list[list[float]]


def contend(predict: Predict) -> None:
    """Run a contestant with the arguments of the command line."""
    windows_path, result_path, seconds = sys.argv[1:]
    values = msgspec.msgpack.decode(Path(windows_path).read_bytes(), type=list[bytes])
    windows = [decode_window(value) for value in values]
    rounds = {size: _round(predict, windows, size, float(seconds)) for size in BATCHES}
    decide = np.concatenate([predict(windows[at : at + 32]) for at in range(0, len(windows), 32)])
    Path(result_path).write_bytes(msgspec.json.encode(NetworkResult(rounds, decide.tolist())))


def _round(predict: Predict, windows: Sequence[WindowRecord], size: int, seconds: float) -> Round:
    """Classify batches repeatedly for ``seconds``, after a warm-up of a quarter of that."""
    batches = [windows[at : at + size] for at in range(0, len(windows) - size + 1, size)]
    for length_s in (seconds / 4, seconds):
        began_s, cpu_s = time.perf_counter(), time.process_time()
        for done in count(1):
            predict(batches[done % len(batches)])
            if (wall_s := time.perf_counter() - began_s) > length_s:
                break
        cpu_s = time.process_time() - cpu_s
    return Round(done * size, cpu_s, wall_s)
