"""The paper's training (Mallol-Ragolta et al. 2022, section 4.3) with what makes one network serve every mask.

Cross-entropy, Adam at 1e-3, batches of 64, at most 150 epochs, stopped after 20 without a better 1 - UAR on people
who are held out. Beyond the paper:
- Windows are drawn so that each class counts alike: half of them all are cycling or sitting of one data set.
- Heart rate and steps are masked at random, so that the network learns to do without.
- A window without heart rate is at random lent that of another window, whatever its activity. Only one data set has
  heart rate, and it holds two classes: without the loan "there is a heart rate" would mean "cycling or sitting".
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from shared.modality import NAMES
from shared.model.network import FusionNetwork, NetworkConfig
from training.metrics import uar
from training.samples import Samples

PREDICT_BATCH = 512


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """The paper's numbers, and the probabilities of masking and lending per window and epoch."""

    learning_rate: float = 1e-3
    batch_size: int = 64
    max_epochs: int = 150
    patience: int = 20
    drop_heart_rate: float = 0.5
    drop_steps: float = 0.25
    lend_heart_rate: float = 0.5
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A trained network.

    ``epochs``: after how many it was taken, the best or as many as asked for; ``uar_by_epoch``: the held-out people's.
    """

    network: FusionNetwork
    epochs: int
    uar_by_epoch: list[float]


def fit(
    config: NetworkConfig,
    train: Samples,
    settings: TrainingSettings,
    *,
    held_out: Samples | None = None,
    epochs: int | None = None,
) -> Fitted:
    """Train on ``train``: for ``epochs``, or until the UAR on ``held_out`` people no longer rises.

    The same settings give the same weights on the same machine. Raises ValueError unless exactly one of ``held_out``
    and ``epochs`` is given.
    """
    if (held_out is None) == (epochs is None):
        raise ValueError("give either held_out, to stop early, or epochs")
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    network = FusionNetwork(config)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    targets = train.targets(config.classes)
    probability = balanced_probability(train)
    best, history = Fitted(network, 0, []), list[float]()
    for epoch in range(1, (epochs or settings.max_epochs) + 1):
        _one_epoch(network, optimiser, train, targets, probability, settings, rng)
        if held_out is None:
            continue
        history.append(held_out_uar(network, held_out))
        if history[-1] > max(history[:-1], default=-1.0):
            best = Fitted(copy.deepcopy(network), epoch, history)
        elif epoch - best.epochs >= settings.patience:
            break
    return best if held_out is not None else Fitted(network.eval(), epochs or 0, history)


def balanced_probability(samples: Samples) -> NDArray[np.float64]:
    """(n,) probability of drawing each window: every class that occurs weighs the same."""
    _, number, count = np.unique(samples.activity, return_inverse=True, return_counts=True)
    probability: NDArray[np.float64] = 1.0 / (count[number] * len(count))
    return probability


def _one_epoch(
    network: FusionNetwork,
    optimiser: torch.optim.Optimizer,
    train: Samples,
    targets: NDArray[np.int64],
    probability: NDArray[np.float64],
    settings: TrainingSettings,
    rng: np.random.Generator,
) -> None:
    network.train()
    rows = rng.choice(len(train), size=len(train), p=probability)
    lent = with_lent_heart_rate(train, rows, settings.lend_heart_rate, rng)
    for start in range(0, len(rows), settings.batch_size):
        batch = slice(start, start + settings.batch_size)
        features, mask = tensors(train, rows[batch], network.config.modalities, heart_rate_of=lent[batch])
        mask &= _kept(len(mask), network.config.modalities, settings, rng)
        loss = torch.nn.functional.cross_entropy(network(features, mask), torch.from_numpy(targets[rows[batch]]))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def with_lent_heart_rate(
    train: Samples, rows: NDArray[np.int64], share: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(n,) the row whose heart rate each drawn window uses: its own, or for a ``share`` of those without, another's."""
    has = train.mask[:, NAMES.index("heart_rate")]
    lenders = np.flatnonzero(has)
    borrows = ~has[rows] & (rng.random(len(rows)) < share)
    return np.where(borrows, rng.choice(lenders, len(rows)), rows) if len(lenders) else rows


def _kept(n: int, modalities: Sequence[str], settings: TrainingSettings, rng: np.random.Generator) -> torch.Tensor:
    drop = {"heart_rate": settings.drop_heart_rate, "steps": settings.drop_steps}
    return torch.from_numpy(rng.random((n, len(modalities))) >= [drop.get(name, 0.0) for name in modalities])


def tensors(
    samples: Samples,
    rows: NDArray[np.int64] | slice,
    modalities: Sequence[str],
    *,
    heart_rate_of: NDArray[np.int64] | None = None,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Features float32 and mask of some windows, as the network takes them."""
    from_rows = {"heart_rate": heart_rate_of} if heart_rate_of is not None else {}
    chosen = {name: from_rows.get(name, rows) for name in modalities}
    features = {name: torch.from_numpy(samples.features[name][chosen[name]].astype(np.float32)) for name in modalities}
    mask = np.stack([samples.mask[chosen[name], NAMES.index(name)] for name in modalities], axis=1)
    return features, torch.from_numpy(mask)


def predict(network: FusionNetwork, samples: Samples) -> NDArray[np.int64]:
    """(n,) the most probable class of each window, as a number."""
    network.eval()
    with torch.inference_mode():
        batches = [
            network(*tensors(samples, slice(start, start + PREDICT_BATCH), network.config.modalities)).argmax(dim=1)
            for start in range(0, len(samples), PREDICT_BATCH)
        ]
    return torch.cat(batches).numpy().astype(np.int64)


def held_out_uar(network: FusionNetwork, samples: Samples) -> float:
    """Pooled UAR of one network on windows of people whom it does not know."""
    classes = network.config.classes
    return uar(samples.targets(classes), predict(network, samples), len(classes))
