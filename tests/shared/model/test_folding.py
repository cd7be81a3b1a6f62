"""What inference runs is what was trained: the same function, folded."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from shared.contracts.labels import HAR7
from shared.model.bundle import WEIGHTS, load_bundle
from shared.model.folding import FoldedConvolution, fold_batch_norm
from shared.model.network import BASELINE, FusionNetwork, NetworkConfig
from tests.shared.model.test_network import VARIANTS, batch
from training.datasets import read_recording
from training.offline import offline_windows

ROOT = Path(__file__).parents[3]


def norms(network: torch.nn.Module) -> Iterator[torch.nn.BatchNorm1d]:
    return (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm1d))


@pytest.mark.parametrize(("encoder", "fusion"), VARIANTS)
def test_a_folded_network_is_the_same_function(encoder: str, fusion: str) -> None:
    torch.manual_seed(0)
    network = FusionNetwork(NetworkConfig(HAR7, encoder=encoder, fusion=fusion)).eval()  # type: ignore[arg-type]
    for norm in norms(network):  # as after training: moments that are not 0 and 1
        torch.nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
        torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
    features, mask = batch(4), torch.ones(4, 3, dtype=torch.bool)
    with torch.inference_mode():
        trained = network(features, mask)
        fold_batch_norm(network)
        folded = network(features, mask)
    torch.testing.assert_close(folded, trained, rtol=1e-5, atol=1e-5)
    # Those before the first convolution and before the spectrum's first layer: nothing stands before them.
    assert len(list(norms(network))) == (2 if encoder == "multi_scale" else 0)


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_one_layer_stands_for_convolution_norm_and_relu(stride: int, padding: int) -> None:
    torch.manual_seed(0)
    convolution, norm = torch.nn.Conv1d(8, 5, 3, stride, padding).eval(), torch.nn.BatchNorm1d(5).eval()
    torch.nn.init.uniform_(norm.running_mean, -0.5, 0.5)
    x = torch.randn(4, 8, 50)
    before = x.clone()
    with torch.inference_mode():
        expected = torch.relu(norm(convolution(x)))
        torch.testing.assert_close(FoldedConvolution(convolution, norm)(x), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["default", "gaitway-cnn"])
def test_a_bundle_that_ships_says_of_real_windows_what_its_network_says(name: str) -> None:
    model = load_bundle(ROOT / "models" / name)
    network = FusionNetwork(model.manifest.config).eval()
    network.load_state_dict(load_file(ROOT / "models" / name / WEIGHTS))
    recording = read_recording(ROOT / "examples" / "recordings" / "e4-S03")
    records = [window.record for window in offline_windows([recording])]
    baselines_mg = [record.baseline.accelerometer.mg for record in records]
    inputs = {
        modality: torch.from_numpy(np.stack([record.features[modality] for record in records])).float()
        for modality in model.modalities
    } | {BASELINE: torch.tensor(baselines_mg) / 1000}
    mask = torch.tensor([[record.mask[modality] for modality in model.modalities] for record in records])
    with torch.inference_mode():
        logits = network(inputs, mask).double() / model.manifest.temperature
    ours = model.probabilities(
        [record.features for record in records], [record.mask for record in records], baselines_mg
    )
    assert len(ours) > 20
    np.testing.assert_allclose(ours, torch.softmax(logits, dim=1).numpy(), rtol=0, atol=1e-5)
