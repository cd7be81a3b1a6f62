"""The encoder of the default model: the wrist's 20 s at several scales, in any orientation, at low cost.

Unlike the paper's encoders it uses gravity (the debiased signal plus the subtracted baseline, so that the user's past
does not matter), amplitudes from a tremor to a sprint on one scale, and the spectrum up to 10 Hz.
"""

import math

import torch
from torch import Tensor, nn

from shared.contracts.modality import ACCELEROMETER

EMBEDDING = 64
WIDTHS = (32, 48, 64)
"""Filters per level; each level halves the rate."""
CLIP_G = 2.0
"""The limit of many watches, and so of the network."""
SMALL_G = 0.05
"""Knee of the compressed amplitude: a resting wrist moves by less, a walking one by more."""
SPECTRUM_HZ = tuple(0.2 * step for step in range(1, 51))
SPECTRUM = 64
_EPSILON = 1e-8
_TINY = 1e-12
"""Added under a root, so that its slope at zero is finite."""


class MultiScaleEncoder(nn.Module):
    """(batch, >= 3, time) debiased x, y, z in g and (batch, 3) baseline in g to (batch, 64)."""

    window: Tensor
    waves: Tensor

    def __init__(self) -> None:
        super().__init__()
        time, rate_hz = ACCELEROMETER.grid_n, ACCELEROMETER.rate_hz
        self.register_buffer("window", torch.hann_window(time, periodic=False) / 16, persistent=False)
        self.register_buffer("waves", _waves(round(rate_hz / SPECTRUM_HZ[0]), rate_hz), persistent=False)
        channels, statistics = 8, 3 * len(SPECTRUM_HZ) + 10
        first, second, third = WIDTHS
        self.scale = nn.BatchNorm1d(channels)
        self.level1 = _level(channels, first, 7)
        self.level2 = _level(first, second, 5)
        self.level3 = nn.Sequential(_level(second, third, 5), _level(third, third, 3))
        self.spectrum = nn.Sequential(
            nn.BatchNorm1d(statistics), nn.Linear(statistics, SPECTRUM), nn.BatchNorm1d(SPECTRUM), nn.ReLU()
        )
        self.embed = nn.Sequential(
            nn.Dropout(0.3),
            nn.Linear(second + 3 * third + SPECTRUM, EMBEDDING),
            nn.BatchNorm1d(EMBEDDING),
            nn.ReLU(),
        )

    def forward(self, debiased_g: Tensor, baseline_g: Tensor) -> Tensor:
        """See the class."""
        channels, statistics = self._views((debiased_g[:, :3] + baseline_g[:, :, None]).clamp(-CLIP_G, CLIP_G))
        fine = self.level2(self.level1(self.scale(channels)))  # (batch, 48, time / 4)
        coarse = self.level3(fine)  # (batch, 64, time / 16)
        pooled = [fine.mean(2), coarse.mean(2), coarse.amax(2), _deviation(coarse), self.spectrum(statistics)]
        embedding: Tensor = self.embed(torch.cat(pooled, dim=1))
        return embedding

    def _views(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """Channels (batch, 8, time) for the filters; spectra and amplitudes (batch, 160)."""
        gravity = g.mean(2, keepdim=True)  # (batch, 3, 1)
        moving = g - gravity
        direction = gravity / (_length(gravity) + 1e-3)
        vertical = (moving * direction).sum(1, keepdim=True)  # (batch, 1, time)
        horizontal = (moving.square().sum(1, keepdim=True) - vertical.square()).clamp_min(0).add(_EPSILON).sqrt()
        channels = torch.cat([g, _compressed(torch.cat([moving, vertical, horizontal], dim=1))], dim=1)

        length = _length(g)
        turned = torch.cat(
            [length - length.mean(2, keepdim=True), vertical, horizontal - horizontal.mean(2, keepdim=True)], 1
        )
        # All waves repeat with the slowest one, so its four periods are summed first, which is cheaper.
        periods = (turned * self.window).reshape(g.shape[0], 3, -1, len(self.waves))  # (batch, 3, 4, 125)
        cosine, sine = (periods.sum(2) @ self.waves).chunk(2, dim=2)  # (batch, 3, frequencies) each
        power = cosine.square() + sine.square()
        per_second = (
            _deviation(horizontal.reshape(g.shape[0], -1, ACCELEROMETER.rate_hz)).sort(dim=1).values
        )  # (batch, 20)
        # ONNX has no median.
        still = [per_second[:, 0], per_second[:, -1], per_second[:, (per_second.shape[1] - 1) // 2]]
        statistics = [
            torch.log(power + 1e-5).flatten(1),
            gravity.flatten(1),
            torch.log(moving.square().mean(2) + 1e-6),
            torch.log(turned[:, :1].square().mean(2) + 1e-6),
            torch.log(torch.stack(still, dim=1) + 1e-3),
        ]
        return channels, torch.cat(statistics, dim=1)


def _level(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, stride=2, padding=kernel // 2), nn.BatchNorm1d(outputs), nn.ReLU()
    )


def _deviation(x: Tensor) -> Tensor:
    """(batch, rows, time) to (batch, rows): standard deviation of a sample."""
    # torch's own std is several times slower.
    moving = x - x.mean(2, keepdim=True)
    return moving.square().sum(2).div(x.shape[2] - 1).add(_TINY).sqrt()


def _length(g: Tensor) -> Tensor:
    # torch's own norm over a short dimension is a hundred times slower.
    return g.square().sum(1, keepdim=True).add(_EPSILON).sqrt()


def _compressed(g: Tensor) -> Tensor:
    return 2 * g / (g.abs() + SMALL_G)


def _waves(time: int, rate_hz: int) -> Tensor:
    """(time, 2 frequencies) cosines, then sines."""
    seconds = torch.arange(time, dtype=torch.float64) / rate_hz
    phase = 2 * math.pi * seconds[:, None] * torch.tensor(SPECTRUM_HZ, dtype=torch.float64)
    return torch.cat([phase.cos(), phase.sin()], dim=1).float()
