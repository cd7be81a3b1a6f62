"""A model bundle: a folder with ``manifest.json``, ``weights.safetensors`` and a model card, ``README.md``.

Nothing in it can run code: weights are safetensors, the manifest is JSON. Everything is checked on load.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from shared.contracts.errors import BundleError
from shared.contracts.window import FeatureArrays
from shared.model.folding import fold_batch_norm
from shared.model.manifest import Manifest, check_keys, check_manifest
from shared.model.network import BASELINE, FusionNetwork

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
CARD = "README.md"

FORWARD_BATCH = 64
"""Windows per forward pass: as many as the filters' outputs fit into a core's second-level cache."""
_HEAP_BYTES = 24 * 1024**2
"""More memory than a forward pass takes."""


class LoadedModel:
    """A checked bundle, ready to classify."""

    def __init__(self, manifest: Manifest, network: FusionNetwork) -> None:
        self.manifest = manifest
        self.classes = manifest.classes
        self.modalities = manifest.modalities
        self.label_set = manifest.label_set
        self.abstain_below = manifest.abstain_below
        self.name_version = f"{manifest.name}@{manifest.version}"
        self._network = network.eval()
        # Until a block of this size has been freed, glibc returns a forward pass's memory to the kernel and gets it
        # again page by page; see M_MMAP_THRESHOLD in mallopt(3).
        torch.empty(_HEAP_BYTES, dtype=torch.uint8)

    def probabilities(
        self,
        features: Sequence[FeatureArrays],
        masks: Sequence[Mapping[str, bool]],
        baselines_mg: Sequence[Sequence[float]],
    ) -> NDArray[np.float64]:
        """(n, classes) float64, rows sum to 1; a window's row is the same in any batch within 1e-6.

        One entry per window: ``features`` and ``masks`` with every modality of the bundle, ``baselines_mg`` the three
        numbers that were subtracted from its acceleration.
        """
        if not features:
            return np.empty((0, len(self.classes)))
        parts = [slice(start, start + FORWARD_BATCH) for start in range(0, len(features), FORWARD_BATCH)]
        batches = [self._forward(features[part], masks[part], baselines_mg[part]) for part in parts]
        return np.concatenate(batches)

    @torch.inference_mode()
    def _forward(
        self,
        features: Sequence[FeatureArrays],
        masks: Sequence[Mapping[str, bool]],
        baselines_mg: Sequence[Sequence[float]],
    ) -> NDArray[np.float64]:
        stacked = {
            name: torch.from_numpy(np.stack([arrays[name] for arrays in features])).float() for name in self.modalities
        }  # per modality (batch, channels, time)
        stacked[BASELINE] = torch.tensor(np.array(baselines_mg, dtype=np.float64) / 1000.0, dtype=torch.float32)
        mask = torch.tensor([[window[name] for name in self.modalities] for window in masks])
        logits = self._network(stacked, mask).double() / self.manifest.temperature
        probabilities: NDArray[np.float64] = torch.softmax(logits, dim=1).numpy()
        return probabilities


def save_bundle(directory: Path, network: FusionNetwork, manifest: Manifest) -> Manifest:
    """Write weights and manifest, the weights' checksum filled in; returns the manifest as written.

    Raises:
        BundleError: the manifest does not describe this network, or does not fit this code.
    """
    check_manifest(directory / MANIFEST, manifest)
    if manifest.config != network.config:
        raise BundleError(f"{directory / MANIFEST}: describes another network than {network.config}")
    directory.mkdir(parents=True, exist_ok=True)
    weights = save_tensors({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    (directory / WEIGHTS).write_bytes(weights)
    manifest = msgspec.structs.replace(manifest, weights_sha256=hashlib.sha256(weights).hexdigest())
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (directory / MANIFEST).write_bytes(text + b"\n")
    return manifest


def read_manifest(directory: Path) -> Manifest:
    """Read only the manifest, and check it against this code.

    Raises:
        BundleError: it is missing, is not a manifest, or does not fit the features or the label sets.
    """
    path = directory / MANIFEST
    try:
        manifest = msgspec.json.decode(_read(path), type=Manifest)
    # The latter two: text that is not UTF-8, and deeply nested brackets.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path}: {error}") from error
    check_manifest(path, manifest)
    return manifest


def load_bundle(directory: Path) -> LoadedModel:
    """Load a bundle.

    Raises:
        BundleError: a file is missing or does not fit; the message names the file and the fault.
    """
    manifest = read_manifest(directory)
    path = directory / WEIGHTS
    data = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    if digest != manifest.weights_sha256:
        raise BundleError(f"{path}: SHA-256 is {digest}, the manifest says {manifest.weights_sha256 or 'nothing'}")
    try:
        tensors = load_tensors(data)
    except SafetensorError as error:
        raise BundleError(f"{path}: {error}") from error
    network = FusionNetwork(manifest.config)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    check_keys(path, expected, tensors)
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise BundleError(f"{path}: {name} has shape {tuple(tensors[name].shape)}, the network's is {shape}")
        if not torch.isfinite(tensors[name]).all():
            raise BundleError(f"{path}: {name} holds a number that is not finite")
    network.load_state_dict(tensors)
    fold_batch_norm(network.eval())
    return LoadedModel(manifest, network)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from error
