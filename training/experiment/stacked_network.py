"""Many fusion networks of one kind as one: every parameter has a leading dimension of models.

The numbers are those of shared.model.network.FusionNetwork, whose weights go in and out; all modalities are present.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from shared.model.network import FusionNetwork, NetworkConfig
from training.experiment.stacked_fusion import Dropout, hidden


class StackedEncoder(Protocol):
    """One modality's windows, and how they are encoded."""

    def encode(
        self, parameters: Mapping[str, Tensor], running: Mapping[str, Tensor], rows: Tensor, share: Tensor | None
    ) -> Tensor:
        """(models, batch, 16) of the windows ``rows`` (models, batch); ``share`` is None where nothing is trained."""


class StackedNetworks:
    """Weights of some networks of one config.

    ``flat``: (models, parameters), all trainable numbers of a network in one row. ``running``: the moments of batch
    norm, by their names in the state of FusionNetwork, (models, filters) each.
    """

    def __init__(self, config: NetworkConfig, states: Sequence[Mapping[str, Tensor]]) -> None:
        """One network per state of a FusionNetwork."""
        self.config = config
        with torch.device("meta"):  # shapes alone: nothing is drawn
            self.shapes = {name: parameter.shape for name, parameter in FusionNetwork(config).named_parameters()}
        self.flat = torch.stack([torch.cat([state[name].ravel() for name in self.shapes]) for state in states])
        self.running = {
            name: torch.stack([state[name] for state in states])
            for name, tensor in states[0].items()
            if name not in self.shapes and tensor.is_floating_point()
        }

    @classmethod
    def initial(cls, config: NetworkConfig, seeds: Sequence[int]) -> "StackedNetworks":
        """One network per seed, with the weights that torch gives it after ``torch.manual_seed(seed)``."""
        states = []
        with torch.random.fork_rng():
            for seed in seeds:
                torch.manual_seed(seed)
                states.append(FusionNetwork(config).state_dict())
        return cls(config, states)

    def keep(self, models: Tensor) -> None:
        """Drop all but these, in this order."""
        self.flat = self.flat[models]
        self.running = {name: buffer[models] for name, buffer in self.running.items()}

    def state(self, model: int) -> dict[str, Tensor]:
        """One network as FusionNetwork's state, but for the count of batches that batch norm has seen."""
        flat = torch.split(self.flat[model], [prod(shape) for shape in self.shapes.values()])
        return {
            **{name: part.reshape(shape) for (name, shape), part in zip(self.shapes.items(), flat, strict=True)},
            **{name: buffer[model] for name, buffer in self.running.items()},
        }

    def logits(
        self,
        encoders: Mapping[str, StackedEncoder],
        flat: Tensor,
        rows: Tensor,
        *,
        share: Tensor | None = None,
        dropout: Dropout | None = None,
    ) -> Tensor:
        """(models, batch, classes) of the first ``len(flat)`` networks with the weights ``flat``.

        ``rows``: (models, batch) windows; ``share``: their weights, see StackedEncoder; ``dropout``: None drops none.
        """
        models = len(rows)
        parts = torch.split(flat, [prod(shape) for shape in self.shapes.values()], dim=1)
        parameters = {
            name: part.reshape(models, *shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
        running = {name: buffer[:models] for name, buffer in self.running.items()}
        embeddings = [
            encoders[name].encode(_of(parameters, f"encoders.{name}."), _of(running, f"encoders.{name}."), rows, share)
            for name in self.config.modalities
        ]
        fusion, weight, bias = self.config.fusion, parameters["classifier.1.weight"], parameters["classifier.1.bias"]
        features = torch.relu(hidden(embeddings, fusion, weight, bias, dropout))  # (models, batch, 16)
        weight, bias = parameters["classifier.3.weight"], parameters["classifier.3.bias"]
        return torch.baddbmm(bias[:, None], features, weight.transpose(1, 2))


def _of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
