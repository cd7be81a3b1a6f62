"""Cost of a window in the network: ``python benchmarks/network_speed.py``. Batches of 32, one thread, alternating.

The result is the minimum of CPU time over many rounds, because other work on the machine can only add to it.
"""

import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from shared.contracts.labels import HAR7
from shared.contracts.modality import MODALITIES
from shared.model.folding import fold_batch_norm
from shared.model.network import BASELINE, FusionNetwork, NetworkConfig

BATCH, ROUNDS = 32, 200
CONFIGS = {
    "paper's CNN, concatenation": NetworkConfig(HAR7, encoder="cnn"),
    "paper's CNN, outer product": NetworkConfig(HAR7, encoder="cnn", fusion="outer_product"),
    "paper's GRU, concatenation": NetworkConfig(HAR7, encoder="gru"),
    "multi-scale, concatenation": NetworkConfig(HAR7, encoder="multi_scale"),
    "multi-scale, gated": NetworkConfig(HAR7, encoder="multi_scale", fusion="gated"),
}


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    networks = {name: FusionNetwork(config).eval() for name, config in CONFIGS.items()}
    parameters = {name: sum(each.numel() for each in network.parameters()) for name, network in networks.items()}
    for network in networks.values():
        fold_batch_norm(network)  # as a bundle is loaded
    features = {modality.name: torch.randn(BATCH, *modality.feature_shape) for modality in MODALITIES}
    features[BASELINE] = torch.randn(BATCH, 3)
    mask = torch.ones(BATCH, len(MODALITIES), dtype=torch.bool)
    taken: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for name, network in networks.items():
                began = time.process_time()
                network(features, mask)
                taken[name].append((time.process_time() - began) / BATCH * 1e6)
    table = Table("network", "parameters", "us per window", "to the first")
    first = min(next(iter(taken.values())))
    for name, times in taken.items():
        least = float(np.min(times))
        table.add_row(name, f"{parameters[name]:,}", f"{least:.0f}", f"{least / first:.1f}x")
    Console().print(table)


if __name__ == "__main__":
    main()
