"""The network alone, by batch size: Gaitway's bundle, the trained module in torch's eager mode, ONNX Runtime.

    python -m benchmarks.stages.network --rounds 3

Each runs as a process with one thread on the same windows of real recordings. The stage's figure is that of
batches of 32, against eager torch with one window at a time and ONNX Runtime with the same batches; ``extra`` has all.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from benchmarks.measure import Measurement, Stage
from benchmarks.network_process import BATCHES, NetworkResult
from benchmarks.peers.process import PACKAGES
from benchmarks.windows_log import TOLERANCE, InferenceDiffers, read_recorded_windows
from gaitway.paths import PROJECT

UNIT = "windows"
BATCH = 32
WINDOWS = 512
SECONDS = 2.0
EAGER, EAGER_BATCHES, ONNX = "torch eager, one by one", "torch eager, same batches", "ONNX Runtime"
OURS_MODULE, EAGER_MODULE, ONNX_MODULE = (
    "benchmarks.gaitway_network",
    "benchmarks.peers.eager_network",
    "benchmarks.peers.onnx_network",
)
TOLERANCES = {
    EAGER_MODULE: TOLERANCE,
    # Of 512 real windows the one furthest from the network in float64 was off by 4e-6 in torch, by 6e-4 here.
    ONNX_MODULE: 1e-3,
}


def run(rounds: int, console: Console, seconds: float = SECONDS) -> Stage:
    """Measure all contestants in turn, ``rounds`` times, ``seconds`` for each batch size.

    Raises:
        InferenceDiffers: a contestant's probabilities differ, or it fails.
    """
    stage = Stage("network", UNIT, peers={name: Measurement() for name in (EAGER, EAGER_BATCHES, ONNX)})
    by_batch: dict[tuple[str, int], Measurement] = {}
    with tempfile.TemporaryDirectory(prefix="gaitway-") as folder:
        windows = Path(folder) / "windows.msgpack"
        recorded = read_recorded_windows()[:WINDOWS]
        windows.write_bytes(msgspec.msgpack.encode([window.encode() for window in recorded]))
        for number in range(1, rounds + 1):
            ours = contestant(OURS_MODULE, windows, seconds)
            peers = {module: contestant(module, windows, seconds) for module in TOLERANCES}
            for module, peer in peers.items():
                _check(module, peer, ours)
            for module, result in {OURS_MODULE: ours, **peers}.items():
                for size, done in result.rounds.items():
                    by_batch.setdefault((module, size), Measurement()).rounds.append(done)
                cost = ", ".join(f"{size}: {1e6 / done.per_core:.0f}" for size, done in result.rounds.items())
                console.print(f"network, round {number}: {module}: us of CPU per window by batch size: {cost}")
    stage.ours.rounds = by_batch[OURS_MODULE, BATCH].rounds
    stage.peers[EAGER].rounds = by_batch[EAGER_MODULE, 1].rounds
    stage.peers[EAGER_BATCHES].rounds = by_batch[EAGER_MODULE, BATCH].rounds
    stage.peers[ONNX].rounds = by_batch[ONNX_MODULE, BATCH].rounds
    modules = (OURS_MODULE, EAGER_MODULE, EAGER_MODULE, ONNX_MODULE)
    for measured, module in zip((stage.ours, *stage.peers.values()), modules, strict=True):
        measured.extra |= {f"per_core_batch_{size}": by_batch[module, size].per_core for size in BATCHES}
    return stage


def contestant(module: str, windows: Path, seconds: float) -> NetworkResult:
    """Run one contestant in a process of its own."""
    result = windows.with_name("result.json")
    paths = [str(PROJECT)] if module == OURS_MODULE else [str(PACKAGES), str(PROJECT)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    command = [sys.executable, "-m", module, str(windows), str(result), str(seconds)]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True)
    if done.returncode != 0:
        raise InferenceDiffers(f"{module} ended with {done.returncode}: {done.stderr[-2000:]}")
    return msgspec.json.decode(result.read_bytes(), type=NetworkResult)


def _check(module: str, peer: NetworkResult, ours: NetworkResult) -> None:
    difference = float(np.abs(np.array(peer.probabilities) - np.array(ours.probabilities)).max())
    if difference > TOLERANCES[module]:
        raise InferenceDiffers(f"{module} differs by {difference:.1e} in a probability")


def main() -> None:
    """This stage alone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each contestant and batch size")
    options = parser.parse_args()
    console = Console(width=140)
    for name, ratio in run(options.rounds, console, options.seconds).ratios().items():
        console.print(f"gaitway / {name}: {ratio:.2f}")


if __name__ == "__main__":
    main()
