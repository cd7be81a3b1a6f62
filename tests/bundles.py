"""A bundle with random weights, for tests in which any model does: what they prove holds for every one."""

from pathlib import Path

import torch

from shared.labels import HAR7
from shared.modality import MODALITIES, NAMES, WINDOW_MS
from shared.model.bundle import save_bundle
from shared.model.manifest import Manifest
from shared.model.network import FusionNetwork, NetworkConfig
from shared.signal.features import FEATURE_VERSION


def random_bundle(folder: Path) -> Path:
    """Write the bundle ``random@0.0.1`` of seven classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FusionNetwork(NetworkConfig(HAR7))
    manifest = Manifest(
        name="random",
        version="0.0.1",
        label_set="har7",
        classes=HAR7,
        modalities=NAMES,
        encoder="cnn",
        fusion="concatenation",
        feature_version=FEATURE_VERSION,
        feature_shapes={modality.name: modality.feature_shape for modality in MODALITIES},
        window_ms=WINDOW_MS,
        temperature=1.0,
        trained_on={},
        seeds=[0],
        created="2026-11-24",
        licence="Apache-2.0",
        metrics={},
    )
    save_bundle(folder, network, manifest)
    return folder
