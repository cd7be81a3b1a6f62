"""Augmentation for training: watches worn differently (turned, mirrored), other gains, noise and tempo."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Strength of each change; zeros and False leave the windows unchanged.

    ``mirror``: x and y change sign, each by chance: the other wrist, a watch turned by 180 degrees. ``tilt_deg``: sd of
    a turn about any axis. ``scale``: sd of the sensor's gain. ``noise_g``: largest sd of added noise. ``stretch``:
    largest relative change of tempo, one for a batch.
    """

    mirror: bool = True
    tilt_deg: float = 12.0
    scale: float = 0.04
    noise_g: float = 0.01
    stretch: float = 0.1

    def __call__(self, g: Tensor, baseline_g: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(batch, 3 k, time) groups of x, y, z and (batch, 3) in g, changed in the same way."""
        n, channels, time = g.shape
        turn = self._turn(n, generator)
        g = (turn[:, None] @ g.reshape(n, channels // 3, 3, time)).reshape(n, channels, time)
        if self.noise_g:
            sd = self.noise_g * torch.rand((n, 1, 1), generator=generator)
            g = g + sd * torch.randn(g.shape, generator=generator)
        if self.stretch:
            g = _stretch(g, 1 + self.stretch * (2 * torch.rand((), generator=generator).item() - 1))
        return g, (turn @ baseline_g[:, :, None])[:, :, 0]

    def _turn(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, 3, 3) rotations, signs and gains in one matrix."""
        axis = torch.nn.functional.normalize(torch.randn((n, 3), generator=generator), dim=1)
        angle = torch.deg2rad(self.tilt_deg * torch.randn((n, 1, 1), generator=generator))
        across = torch.linalg.cross(axis[:, None, :].expand(n, 3, 3), torch.eye(3).expand(n, 3, 3), dim=2).mT
        turn: Tensor = torch.eye(3) + angle.sin() * across + (1 - angle.cos()) * across @ across  # Rodrigues
        if self.mirror:
            sign = 1.0 - 2.0 * torch.randint(0, 2, (n, 3, 1), generator=generator)
            sign[:, 2] = 1.0  # A watch lies on the back of the wrist: its face looks away from the arm.
            turn = sign * turn
        gain: Tensor = 1 + self.scale * torch.randn((n, 1, 1), generator=generator)
        return turn * gain


def _stretch(g: Tensor, tempo: float) -> Tensor:
    """Change the tempo: the middle of a slower signal, or a faster one extended by its mirrored end."""
    time = g.shape[2]
    length = round(time * tempo)
    played = torch.nn.functional.interpolate(g, size=length, mode="linear", align_corners=False)
    if length >= time:
        start = (length - time) // 2
        return played[:, :, start : start + time]
    return torch.cat([played, played[:, :, length - time :].flip(2)], dim=2)
