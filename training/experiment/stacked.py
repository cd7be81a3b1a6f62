"""Train many networks of one variant together, each as if it were alone: own windows, batches, dropout, Adam and end.

Networks are sorted by the number of batches in an epoch, so that those that still have one are always the first; one
that has ended leaves the stack.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.model.network import DROPOUT, NetworkConfig
from training.experiment.cohort import Cohort
from training.experiment.job import Job
from training.experiment.results import Protocol
from training.experiment.stacked_cnn import CnnWindows
from training.experiment.stacked_fusion import Dropout
from training.experiment.stacked_gru import GruWindows
from training.experiment.stacked_network import StackedEncoder, StackedNetworks
from training.metrics import uar

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Of torch's Adam."""
EVALUATION_BATCH = 64


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNetwork:
    """One job's network as FusionNetwork's state, after ``epochs``."""

    state: dict[str, Tensor]
    epochs: int


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """A cohort laid out for one kind of encoder; ``target``: (n,) class numbers."""

    encoders: Mapping[str, StackedEncoder]
    target: Tensor

    @classmethod
    def of(cls, cohort: Cohort, config: NetworkConfig) -> "Windows":
        """The modalities that the network takes."""
        kind = CnnWindows if config.encoder == "cnn" else GruWindows
        return cls({name: kind(cohort.features[name]) for name in config.modalities}, torch.from_numpy(cohort.target))


def train_together(
    config: NetworkConfig,
    windows: Windows,
    jobs: Sequence[Job],
    protocol: Protocol,
    *,
    dropout: float = DROPOUT,
    losses: Sequence[list[float]] | None = None,
) -> list[TrainedNetwork]:
    """One network per job, in the order of the jobs: what each would be if it were trained alone.

    The losses of a job's steps are added to its list in ``losses``.
    """
    jobs_left = sorted(range(len(jobs)), key=lambda index: -len(jobs[index].train))
    networks = StackedNetworks.initial(config, [jobs[index].torch_seed for index in jobs_left])
    adam = _Adam(networks.flat, protocol.learning_rate)
    batches = {index: job.epochs_of_batches(protocol.batch_size) for index, job in enumerate(jobs)}
    masks = {index: job.dropout() for index, job in enumerate(jobs)}
    stops = [job.stopping(protocol.patience, protocol.max_epochs) for job in jobs]
    trained: list[TrainedNetwork | None] = [None for _ in jobs]
    while jobs_left:
        epoch = [next(batches[index]) for index in jobs_left]
        for number in range(len(epoch[0])):
            taken = [batch[number] for batch in epoch if number < len(batch)]
            rows, share = _padded(taken)
            drop = None
            if dropout:
                generators = [masks[index] for index in jobs_left[: len(taken)]]
                drop = Dropout(generators, (protocol.batch_size, config.fused_features), dropout)
            weights = networks.flat[: len(taken)].detach().requires_grad_()
            logits = networks.logits(windows.encoders, weights, rows, share=share, dropout=drop)
            loss = _cross_entropy(logits, windows.target[rows], share)
            (gradient,) = torch.autograd.grad(loss.sum(), weights)
            adam.step(networks.flat, gradient)
            if losses is not None:
                for index, value in zip(jobs_left, loss.tolist(), strict=False):
                    losses[index].append(value)
        scores = _validation_uar(networks, windows, [jobs[index].validation for index in jobs_left])
        staying = []
        for position, index in enumerate(jobs_left):
            if stops[index].stops_after(scores[position]):
                trained[index] = TrainedNetwork(networks.state(position), stops[index].epochs)
            else:
                staying.append(position)
        if len(staying) < len(jobs_left):
            jobs_left = [jobs_left[position] for position in staying]
            kept_models = torch.tensor(staying, dtype=torch.int64)
            networks.keep(kept_models)
            adam.keep(kept_models)
    return [one for one in trained if one is not None]


def predict(networks: StackedNetworks, windows: Windows, rows: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Per network the most probable class of each of its windows."""
    padded, _ = _padded(rows)
    with torch.no_grad():  # not inference_mode: what it makes, training could not write to
        decide = torch.cat(
            [
                networks.logits(windows.encoders, networks.flat, part).argmax(dim=2)
                for part in torch.split(padded, EVALUATION_BATCH, dim=1)
            ],
            dim=1,
        )
    return [row[: len(own)] for row, own in zip(decide.numpy(), rows, strict=True)]


class _Adam:
    """torch.optim.Adam for each row of a matrix; rows may have made different numbers of steps."""

    def __init__(self, flat: Tensor, learning_rate: float) -> None:
        self._learning_rate = learning_rate
        self._mean, self._square = torch.zeros_like(flat), torch.zeros_like(flat)
        self._steps = torch.zeros(len(flat), 1, dtype=torch.float64)

    def step(self, flat: Tensor, gradient: Tensor) -> None:
        """Change the first ``len(gradient)`` rows of ``flat``."""
        first = slice(0, len(gradient))
        self._steps[first] += 1
        mean, square = self._mean[first], self._square[first]
        mean.lerp_(gradient, 1 - BETA1)
        square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        step_size = (self._learning_rate / (1 - BETA1 ** self._steps[first])).float()
        correction = torch.sqrt(1 - BETA2 ** self._steps[first]).float()
        flat[first] -= step_size * mean / (square.sqrt() / correction).add_(EPSILON)

    def keep(self, models: Tensor) -> None:
        """Drop all but these rows."""
        self._mean, self._square, self._steps = self._mean[models], self._square[models], self._steps[models]


def _padded(batches: Sequence[NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    """(models, longest) rows, and each row's share of its batch; what fills up has none."""
    longest = max(map(len, batches))
    rows = np.zeros((len(batches), longest), dtype=np.int64)
    share = np.zeros((len(batches), longest))
    for model, batch in enumerate(batches):
        rows[model, : len(batch)] = batch
        share[model, : len(batch)] = 1 / len(batch)
    return torch.from_numpy(rows), torch.from_numpy(share)


def _cross_entropy(logits: Tensor, target: Tensor, share: Tensor) -> Tensor:
    """(models,) mean over each network's batch."""
    by_window = torch.nn.functional.cross_entropy(logits.transpose(1, 2), target, reduction="none")
    return (by_window * share).sum(dim=1)


def _validation_uar(
    networks: StackedNetworks, windows: Windows, rows: Sequence[NDArray[np.int64] | None]
) -> list[float]:
    """Per network the pooled UAR on its validation windows; NaN where it has none."""
    if all(own is None for own in rows):
        return [float("nan") for _ in rows]
    empty = np.empty(0, dtype=np.int64)
    asked = [empty if own is None else own for own in rows]
    classes = len(networks.config.classes)
    decide = predict(networks, windows, asked)
    return [uar(windows.target[own].numpy(), one, classes) for own, one in zip(asked, decide, strict=True)]
