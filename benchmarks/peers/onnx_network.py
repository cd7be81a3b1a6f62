"""The same network on ONNX Runtime, as onnxruntime.ai/docs/api/python has it.

Exported by ``torch.onnx.export`` for any number of windows (docs.pytorch.org/docs/stable/onnx_export.html); one thread,
all graph optimisations, which are the default.

    python -m benchmarks.peers.onnx_network WINDOWS RESULT SECONDS
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from benchmarks.network_process import contend
from benchmarks.peers.eager_network import EagerNetwork
from gaitway.paths import DEFAULT_MODEL
from shared.contracts.modality import MODALITIES
from shared.contracts.window import WindowRecord
from shared.model.network import BASELINE


class _Exported(torch.nn.Module):
    """Inputs by position, in the order of MODALITIES, and probabilities."""

    def __init__(self, trained: EagerNetwork) -> None:
        super().__init__()
        self.network = trained.network
        self.temperature = trained.manifest.temperature
        self.names = [*trained.manifest.modalities, BASELINE]

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        features = dict(zip(self.names, inputs[:-1], strict=True))
        return torch.softmax(self.network(features, inputs[-1]) / self.temperature, dim=1)


class OnnxNetwork:
    """A bundle's network, exported and opened."""

    def __init__(self, bundle: Path) -> None:
        trained = EagerNetwork(bundle)
        self.names = trained.manifest.modalities
        self.inputs = [*self.names, BASELINE, "mask"]
        example = (
            *(torch.zeros(5, *modality.feature_shape) for modality in MODALITIES if modality.name in self.names),
            torch.zeros(5, 3),
            torch.ones(5, len(self.names), dtype=torch.bool),
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            windows = torch.export.Dim("windows", min=1, max=4096)
            torch.onnx.export(
                _Exported(trained).eval(),
                example,
                path,
                input_names=self.inputs,
                dynamic_shapes=(tuple({0: windows} for _ in example),),
                dynamo=True,
                verbose=False,
            )
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(self, windows: Sequence[WindowRecord]) -> NDArray[np.floating]:
        """(n, classes) probabilities."""
        inputs: dict[str, NDArray[np.generic]] = {
            name: np.stack([window.features[name] for window in windows]).astype(np.float32) for name in self.names
        }
        inputs[BASELINE] = np.array([window.baseline.accelerometer.mg for window in windows], dtype=np.float32) / 1000
        inputs["mask"] = np.array([[window.mask[name] for name in self.names] for window in windows])
        decide: NDArray[np.floating] = self.session.run(None, inputs)[0]
        return decide


def main() -> None:
    torch.set_num_threads(1)
    contend(OnnxNetwork(DEFAULT_MODEL).predict)


if __name__ == "__main__":
    main()
