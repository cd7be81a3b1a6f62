"""Training of a network for any subset of the modalities, from several data sets, for unknown wrists.

Beyond the paper's training (which is training/experiment):
- A fixed number of steps under one cycle of the learning rate: no people are needed for early stopping.
- Windows are sampled with equal weight per class; within a class a source's own name of an activity has the square root
  of its windows as weight.
- Turned and mirrored wrists (training/trainer/augment.py).
- Heart rate and steps are masked at random, so that the network learns to work without them.
- A missing heart rate is imputed from another window, whatever its activity. Only data sets of cycling and sitting have
  heart rate: without imputation "there is a heart rate" would mean one of these two. Imputation in half of the windows
  was not enough: people lost 0.05 UAR when their heart rate was masked, and hardly any when it was frozen.
- A second head learns the sources' own finer labels; it is discarded after training.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.contracts.labels import HAR2, MOVEMENT
from shared.contracts.modality import ACCELEROMETER
from shared.model.network import FusionNetwork, NetworkConfig
from training.samples import Samples
from training.trainer.sampling import BatchSampler, TrainingSettings, tensors

PREDICT_BATCH = 512


class AuxiliaryHead(nn.Module):
    """The second head: predicts the data set's own name of a window's activity."""

    def __init__(self, features: int, names: Sequence[str]) -> None:
        super().__init__()
        self.head = nn.Linear(features, len(names))
        dataset = [name.partition("/")[0] for name in names]
        foreign = torch.tensor([[a != b for b in dataset] for a in dataset])
        self.register_buffer("foreign", foreign)

    foreign: Tensor

    def loss(self, fused: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy among the names of each window's own data set: recognising the data set does not reduce it."""
        logits = self.head(fused).masked_fill(self.foreign[target], -1e9)
        return nn.functional.cross_entropy(logits, target)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """A trained network, and its second head with the names that it predicts."""

    network: FusionNetwork
    details: AuxiliaryHead | None
    detail_names: tuple[str, ...]


def fit(
    config: NetworkConfig,
    train: Samples,
    settings: TrainingSettings,
    encoder: Mapping[str, Tensor] | None = None,
) -> TrainedModel:
    """Train on ``train``; windows whose activity is not one of the classes train only the second head.

    ``encoder``: weights of the accelerometer's encoder to begin with (training/trainer/pretraining.py). The same
    settings give the same weights on the same machine. Raises ValueError if no window is of the classes.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    names = tuple(np.unique(train.detail[train.detail != ""]).tolist()) if settings.detail_weight else ()
    known = np.isin(train.activity, config.classes)
    train = train.take(known | np.isin(train.detail, names))
    draw = BatchSampler(train, config, settings, names, rng)
    network = FusionNetwork(config)
    if encoder is not None:
        network.encoders[ACCELEROMETER.name].load_state_dict(encoder)
    if settings.har2_share:
        _copy_weights(network, _fit_har2(config, train, settings))
    details = AuxiliaryHead(config.fused_features, names) if names else None
    weights = [*network.parameters(), *(details.parameters() if details else ())]
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps, pct_start=0.2
    )
    network.train()
    for _ in range(settings.steps):
        batch = draw()
        fused = network.fuse(batch.features, batch.mask)
        is_known = batch.target >= 0
        loss = nn.functional.cross_entropy(
            network.classifier(fused[is_known]), batch.target[is_known], label_smoothing=settings.label_smoothing
        )
        if details is not None and (named := batch.detail >= 0).any():
            loss = loss + settings.detail_weight * details.loss(fused[named], batch.detail[named])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        cycle.step()
    return TrainedModel(network.eval(), details, names)


def _fit_har2(config: NetworkConfig, train: Samples, settings: TrainingSettings) -> FusionNetwork:
    """Train the same network on movement first (architecture.md, section 8)."""
    movement = np.array([MOVEMENT.get(activity, "") for activity in train.activity.tolist()], dtype=np.str_)
    steps = round(settings.har2_share * settings.steps)
    first = replace(settings, steps=steps, har2_share=0.0, detail_weight=0.0)
    return fit(replace(config, classes=HAR2), replace(train, activity=movement), first).network


def _copy_weights(network: FusionNetwork, pretrained: FusionNetwork) -> None:
    """Copy all weights except those of the last layer, which depends on the classes."""
    own = network.state_dict()
    same = {name: weight for name, weight in pretrained.state_dict().items() if weight.shape == own[name].shape}
    network.load_state_dict(own | same)


def logits(network: FusionNetwork, samples: Samples) -> NDArray[np.float64]:
    """(n, classes) of each window."""
    return _forward(samples, network, network)


def detail_logits(model: TrainedModel, samples: Samples) -> NDArray[np.float64]:
    """(n, detail names) of each window, by the second head."""
    if model.details is None:
        raise ValueError("the network was trained without a second head")
    head = model.details.head
    return _forward(samples, model.network, lambda features, mask: head(model.network.fuse(features, mask)))


def _forward(samples: Samples, network: FusionNetwork, function: Callable[..., Tensor]) -> NDArray[np.float64]:
    network.eval()
    with torch.inference_mode():
        batches = [
            function(*tensors(samples, slice(start, start + PREDICT_BATCH), network.config))
            for start in range(0, len(samples), PREDICT_BATCH)
        ]
    return torch.cat(batches).double().numpy()
