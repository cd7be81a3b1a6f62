"""The same training one network at a time, with torch's own layers: what stacked.py is checked and measured against."""

import numpy as np
import torch
from numpy.typing import NDArray

from shared.model.network import FusionNetwork, NetworkConfig
from training.experiment.cohort import Cohort
from training.experiment.job import Job
from training.experiment.results import Protocol
from training.metrics import uar

EVALUATION_BATCH = 512


def train(
    config: NetworkConfig, cohort: Cohort, job: Job, protocol: Protocol, *, losses: list[float] | None = None
) -> tuple[FusionNetwork, int]:
    """One job's network and after how many epochs it ended; the loss of every step is added to ``losses``.

    Dropout draws from torch's global generator, not from the job's: switched off, the losses are those of the stack.
    """
    with torch.random.fork_rng():
        torch.manual_seed(job.torch_seed)
        network = FusionNetwork(config)
        optimiser = torch.optim.Adam(network.parameters(), lr=protocol.learning_rate)
        stopping = job.stopping(protocol.patience, protocol.max_epochs)
        for batches in job.epochs_of_batches(protocol.batch_size):
            network.train()
            for rows in batches:
                target = torch.from_numpy(cohort.target[rows])
                loss = torch.nn.functional.cross_entropy(_logits(network, cohort, rows), target)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                if losses is not None:
                    losses.append(loss.item())
            if stopping.stops_after(_validation_uar(network, cohort, job.validation)):
                break
    return network.eval(), stopping.epochs


def predict(network: FusionNetwork, cohort: Cohort, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The most probable class of each window."""
    network.eval()
    with torch.inference_mode():
        decide = [
            _logits(network, cohort, rows[start : start + EVALUATION_BATCH]).argmax(dim=1).numpy()
            for start in range(0, len(rows), EVALUATION_BATCH)
        ]
    return np.concatenate([np.empty(0, dtype=np.int64), *decide])


def _logits(network: FusionNetwork, cohort: Cohort, rows: NDArray[np.int64]) -> torch.Tensor:
    names = network.config.modalities
    features = {name: torch.from_numpy(cohort.features[name][rows].astype(np.float32)) for name in names}
    logits: torch.Tensor = network(features, torch.ones(len(rows), len(names), dtype=torch.bool))
    return logits


def _validation_uar(network: FusionNetwork, cohort: Cohort, rows: NDArray[np.int64] | None) -> float:
    if rows is None:
        return float("nan")
    return uar(cohort.target[rows], predict(network, cohort, rows), len(network.config.classes))
