"""Gaitway's own contestant of the network alone: the default bundle, as the inference service calls it.

python -m benchmarks.gaitway_network WINDOWS RESULT SECONDS
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.network_process import contend
from benchmarks.windows_log import probabilities
from gaitway.paths import DEFAULT_MODEL
from shared.contracts.window import WindowRecord
from shared.model.bundle import load_bundle


def main() -> None:
    torch.set_num_threads(1)
    model = load_bundle(DEFAULT_MODEL)

    def predict(windows: Sequence[WindowRecord]) -> NDArray[np.float64]:
        return probabilities(model, windows)

    contend(predict)


if __name__ == "__main__":
    main()
