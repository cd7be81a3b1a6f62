"""The fusion network in numpy, from a bundle's two files: no torch, nothing of the pipeline."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.chaos.contract import Features

_DTYPES = {"F32": np.float32, "F64": np.float64, "F16": np.float16, "I64": np.int64}
_BATCH_NORM_EPSILON = 1e-5


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Tensors by name: 8 bytes length of the header, little-endian; the header, JSON; then the numbers."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


class NumpyNetwork:
    """A bundle with CNN encoders; ValueError for another one."""

    def __init__(self, bundle: Path) -> None:
        manifest = json.loads((bundle / "manifest.json").read_text())
        if manifest["encoder"] != "cnn":
            raise ValueError(f"{bundle}: the checker knows CNN encoders, not {manifest['encoder']}")
        self.name = f"{manifest['name']}@{manifest['version']}"
        self.classes: list[str] = manifest["classes"]
        self._modalities: list[str] = manifest["modalities"]
        self._fusion = manifest["fusion"]
        self._temperature = manifest["temperature"]
        self.abstain_below: float = manifest.get("abstain_below", 0.0)
        self._weights = read_safetensors(bundle / "weights.safetensors")

    def probabilities(self, features: Features, masks: dict[str, NDArray[np.bool_]]) -> NDArray[np.float64]:
        """(n, classes) of n windows; ``masks``: per modality (n,), False where the modality is absent."""
        embeddings = [
            np.where(masks[name][:, None], self._encode(name, features[name]), 0) for name in self._modalities
        ]
        hidden = np.maximum(self._dense("classifier.1", self._fuse(embeddings)), 0)
        logits = self._dense("classifier.3", hidden).astype(np.float64) / self._temperature
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return result

    def _encode(self, name: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, channels, time) to (n, 16): convolution of two neighbours, batch norm, ReLU, mean of each half."""

        def weight(part: str) -> NDArray[Any]:
            return self._weights[f"encoders.{name}.{part}"]

        kernel = weight("convolution.weight")
        y = np.einsum("oc,nct->not", kernel[:, :, 0], x[:, :, :-1]) + np.einsum(
            "oc,nct->not", kernel[:, :, 1], x[:, :, 1:]
        )
        y += weight("convolution.bias")[:, None]
        scale = weight("norm.weight") / np.sqrt(weight("norm.running_var") + _BATCH_NORM_EPSILON)
        y = np.maximum((y - weight("norm.running_mean")[:, None]) * scale[:, None] + weight("norm.bias")[:, None], 0)
        n = y.shape[2]
        halves = [y[:, :, : (n + 1) // 2].mean(axis=2), y[:, :, n // 2 :].mean(axis=2)]
        return np.stack(halves, axis=2).reshape(len(x), -1)

    def _fuse(self, embeddings: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        if self._fusion == "concatenation":
            return np.concatenate(embeddings, axis=1)
        extended = [np.pad(embedding, ((0, 0), (0, 1)), constant_values=1) for embedding in embeddings]
        fused = extended[0]
        for embedding in extended[1:]:
            fused = np.einsum("na,nb->nab", fused, embedding).reshape(len(fused), -1)
        return fused

    def _dense(self, name: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return result
