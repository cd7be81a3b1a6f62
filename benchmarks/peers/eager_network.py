"""The trained network in torch's eager mode, as pytorch.org/tutorials/beginner/saving_loading_models.html has it.

Weights loaded into the module, ``eval()``, one call a batch. Without folding, a special memory format or reused
buffers. How the encoder's spectrum is computed is part of the network's definition, so the peer has that too.

    python -m benchmarks.peers.eager_network WINDOWS RESULT SECONDS
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from benchmarks.network_process import contend
from gaitway.paths import DEFAULT_MODEL
from shared.contracts.window import WindowRecord
from shared.model.bundle import WEIGHTS, read_manifest
from shared.model.network import BASELINE, FusionNetwork


class EagerNetwork:
    """A bundle's network as it was trained."""

    def __init__(self, bundle: Path) -> None:
        self.manifest = read_manifest(bundle)
        self.network = FusionNetwork(self.manifest.config)
        self.network.load_state_dict(load_file(bundle / WEIGHTS))
        self.network.eval()

    def inputs(self, windows: Sequence[WindowRecord]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Features by modality with the baseline, and the mask."""
        names = self.manifest.modalities
        features = {
            name: torch.from_numpy(np.stack([window.features[name] for window in windows])).float() for name in names
        }
        features[BASELINE] = torch.tensor([window.baseline.accelerometer.mg for window in windows]) / 1000.0
        return features, torch.tensor([[window.mask[name] for name in names] for window in windows])

    def predict(self, windows: Sequence[WindowRecord]) -> NDArray[np.float32]:
        """(n, classes) probabilities."""
        with torch.no_grad():
            logits = self.network(*self.inputs(windows)) / self.manifest.temperature
            decide: NDArray[np.float32] = torch.softmax(logits, dim=1).numpy()
        return decide


def main() -> None:
    torch.set_num_threads(1)
    contend(EagerNetwork(DEFAULT_MODEL).predict)


if __name__ == "__main__":
    main()
