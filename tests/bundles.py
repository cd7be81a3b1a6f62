"""A bundle with random weights, for tests in which any model does: what they prove holds for every one.

Its encoder is the one that looks at everything, the baseline too: whoever hands over another one is found out.
"""

from pathlib import Path

import torch

from shared.contracts.labels import HAR7
from shared.contracts.modality import MODALITIES, MODALITY_NAMES, WINDOW_MS
from shared.model.bundle import save_bundle
from shared.model.manifest import Manifest, Reference
from shared.model.network import FusionNetwork, NetworkConfig
from shared.signal.features import FEATURE_VERSION


def random_bundle(
    folder: Path,
    *,
    version: str = "0.0.1",
    seed: int = 0,
    abstain_below: float = 0.0,
    reference: Reference | None = None,
    label_set: str = "har7",
    classes: tuple[str, ...] = HAR7,
) -> Path:
    """Write the bundle ``random@VERSION``; another ``seed`` gives other weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = FusionNetwork(NetworkConfig(classes, encoder="multi_scale"))
    manifest = Manifest(
        name="random",
        version=version,
        label_set=label_set,
        classes=classes,
        modalities=MODALITY_NAMES,
        encoder="multi_scale",
        fusion="concatenation",
        feature_version=FEATURE_VERSION,
        feature_shapes={modality.name: modality.feature_shape for modality in MODALITIES},
        window_ms=WINDOW_MS,
        temperature=0.2,  # random weights are sure of nothing: so that windows differ by more than the tests' tolerance
        trained_on={},
        seeds=[0],
        created="2026-11-24",
        licence="Apache-2.0",
        metrics={},
        abstain_below=abstain_below,
        reference=reference,
    )
    save_bundle(folder, network, manifest)
    return folder
