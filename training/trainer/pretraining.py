"""Pre-training of the accelerometer's encoder on windows without labels.

Three questions whose answers need no label, after Yuan et al. 2024, "Self-supervised learning for human activity
recognition using 700,000 person-days of wearable data", npj Digital Medicine 7: does time run backwards, are the
parts of the window in another order, was its tempo changed? Each is true of half of the windows, independently. As
there, a window is drawn as often as it moves: nothing happens to a still one when it is turned round.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from shared.contracts.modality import ACCELEROMETER
from shared.model.multi_scale import EMBEDDING, MultiScaleEncoder
from training.samples import Samples
from training.trainer.augment import Augmentation

PARTS = 4
"""Of a window, to be put into another order: 5 s each."""
WARP = 0.5
"""Largest change of tempo within a window, relative."""
TASKS = ("reversed", "permuted", "warped")


@dataclass(frozen=True, slots=True)
class PretrainingSettings:
    """Steps and batches of the pre-training."""

    steps: int = 3000
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class PretrainedEncoder:
    """``weights``: of ``encoders.accelerometer``; ``accuracy``: task -> share right over the last 50 batches."""

    weights: dict[str, Tensor]
    accuracy: dict[str, float]


def pretrain_encoder(samples: Samples, settings: PretrainingSettings) -> PretrainedEncoder:
    """Train the multi-scale encoder on the windows' acceleration; labels are not looked at.

    Raises:
        ValueError: no window moves.
    """
    torch.manual_seed(settings.seed)
    rng, generator = np.random.default_rng(settings.seed), torch.Generator().manual_seed(settings.seed)
    windows = samples.features[ACCELEROMETER.name][:, :3]
    moving = windows.std(axis=2, dtype=np.float32).sum(axis=1)
    if not moving.any():
        raise ValueError("no window to learn from: nothing moves")
    probability = (moving / moving.sum()).astype(np.float64)
    probability /= probability.sum()
    encoder = MultiScaleEncoder()
    heads = nn.Linear(EMBEDDING, len(TASKS))
    weights = [*encoder.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps, pct_start=0.2
    )
    augmentation = Augmentation(stretch=0.0)
    right = []
    for _ in range(settings.steps):
        rows = rng.choice(len(samples), settings.batch_size, p=probability)
        g = torch.from_numpy(windows[rows].astype(np.float32))
        baseline_g = torch.from_numpy((samples.baseline_mg[rows] / 1000.0).astype(np.float32))
        truth = torch.randint(0, 2, (len(rows), len(TASKS)), generator=generator).bool()
        changed, baseline_g = augmentation(transform(g, truth, generator), baseline_g, generator)
        answers = heads(encoder(changed, baseline_g))
        loss = nn.functional.binary_cross_entropy_with_logits(answers, truth.float())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        cycle.step()
        right.append(((answers > 0) == truth).float().mean(dim=0))
    last = torch.stack(right[-50:]).mean(dim=0)
    return PretrainedEncoder(encoder.state_dict(), dict(zip(TASKS, last.tolist(), strict=True)))


def transform(g: Tensor, truth: Tensor, generator: torch.Generator) -> Tensor:
    """(batch, 3, time) windows, changed as ``truth`` (batch, tasks) says."""
    backwards, permuted, warped = truth.unbind(dim=1)
    g = torch.where(warped[:, None, None], _warp(g, generator), g)
    g = torch.where(permuted[:, None, None], _permute(g, generator), g)
    return torch.where(backwards[:, None, None], g.flip(2), g)


def _permute(g: Tensor, generator: torch.Generator) -> Tensor:
    """Put the parts of each window into another order than theirs."""
    n, channels, time = g.shape
    parts = g.reshape(n, channels, PARTS, time // PARTS)
    # An order drawn by chance is the old one once in 24 times: a shift never is.
    order = torch.rand((n, PARTS), generator=generator).argsort(dim=1)
    same = (order == torch.arange(PARTS)).all(dim=1)
    order = torch.where(same[:, None], order.roll(1, dims=1), order)
    return parts.gather(2, order[:, None, :, None].expand_as(parts)).reshape(n, channels, time)


def _warp(g: Tensor, generator: torch.Generator) -> Tensor:
    """Play a part of each window faster and the rest slower; its length stays."""
    n, channels, time = g.shape
    # Positions of the samples: the integral of a tempo that changes like one period of a cosine.
    phase = torch.rand((n, 1), generator=generator)
    at = torch.linspace(0, 1, time)
    strength = WARP * (0.5 + 0.5 * torch.rand((n, 1), generator=generator))
    turns = 2 * torch.pi
    moved = at + strength / turns * ((turns * (at + phase)).sin() - (turns * phase).sin())
    position = (moved * (time - 1)).clamp(0, time - 1)
    before = position.floor().long().clamp(max=time - 2)
    part = (position - before)[:, None, :]
    index = before[:, None, :].expand(n, channels, time)
    return g.gather(2, index) * (1 - part) + g.gather(2, index + 1) * part
