"""The same wrist, worn otherwise, for training only: turned, mirrored, weighed and timed a little differently.

And measured by a sensor that errs for a moment.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

WRONG_SAMPLES = 10
"""At most, in a row: an axis that stays at an extreme for longer is no reading (shared/signal/plausibility.py)."""
WRONG_G = (1.0, 16.0)
"""Magnitude of a wrong sample: up to what accelerometers of watches measure."""
_SMOOTHING = torch.distributions.Normal(0.0, 1.0).log_prob(torch.arange(-4.0, 5.0)).softmax(0)
"""A single sample as shared/signal/features.py smooths it."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How much of each; zeros and False leave the windows as they are.

    ``mirror``: x and y change sign, each by chance: the other wrist, a watch turned by 180 degrees. ``tilt_deg``: sd of
    a turn about any axis. ``scale``: sd of the sensor's gain. ``noise_g``: largest sd of added noise. ``stretch``:
    largest relative change of tempo, one for a batch. ``wrong``: share of windows in which a run of samples is wrong.
    """

    mirror: bool = True
    tilt_deg: float = 12.0
    scale: float = 0.04
    noise_g: float = 0.01
    stretch: float = 0.1
    wrong: float = 0.2

    def __call__(self, g: Tensor, baseline_g: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(batch, 3 k, time) groups of x, y, z and (batch, 3) in g, altered alike."""
        n, channels, time = g.shape
        turn = self._turn(n, generator)
        g = (turn[:, None] @ g.reshape(n, channels // 3, 3, time)).reshape(n, channels, time)
        if self.noise_g:
            sd = self.noise_g * torch.rand((n, 1, 1), generator=generator)
            g = g + sd * torch.randn(g.shape, generator=generator)
        if self.stretch:
            g = _stretched(g, 1 + self.stretch * (2 * torch.rand((), generator=generator).item() - 1))
        baseline_g = (turn @ baseline_g[:, :, None])[:, :, 0]
        if self.wrong:
            g = _with_wrong_samples(g, baseline_g, self.wrong, generator)
        return g, baseline_g

    def _turn(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, 3, 3) turns, signs and gains in one."""
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


def _stretched(g: Tensor, tempo: float) -> Tensor:
    """The middle of a slower signal; a faster one, continued by its own end played backwards."""
    time = g.shape[2]
    length = round(time * tempo)
    played = torch.nn.functional.interpolate(g, size=length, mode="linear", align_corners=False)
    if length >= time:
        start = (length - time) // 2
        return played[:, :, start : start + time]
    return torch.cat([played, played[:, :, length - time :].flip(2)], dim=2)


def _with_wrong_samples(g: Tensor, baseline_g: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(batch, 3 k, time) as measured by a sensor that, in a share of the windows, errs on one, two or all axes."""
    hit = torch.nonzero(torch.rand(len(g), generator=generator) < share)[:, 0]
    n, (channels, time) = len(hit), g.shape[1:]
    start = torch.randint(0, time, (n, 1, 1), generator=generator)
    length = (WRONG_SAMPLES ** torch.rand((n, 1, 1), generator=generator)).floor()  # Short runs are more frequent.
    axes = torch.randint(1, 8, (n, 1, 1), generator=generator).bitwise_and(torch.tensor([[1], [2], [4]])) > 0
    sign = 1.0 - 2.0 * torch.randint(0, 2, (n, 3, 1), generator=generator)
    low, high = WRONG_G
    value = sign * low * (high / low) ** torch.rand((n, 3, 1), generator=generator)
    samples = torch.arange(time)
    run = ((samples >= start) & (samples < start + length)).float()  # (hit, 1, time)
    weight = torch.nn.functional.conv1d(run, _SMOOTHING[None, None], padding=len(_SMOOTHING) // 2)
    error = weight * axes * (value - baseline_g[hit, :, None] - g[hit, :3])
    groups = [error]
    while len(groups) < channels // 3:  # Signal, first and second derivative.
        groups.append(torch.nn.functional.pad(groups[-1].diff(dim=2), (1, 0)))
    return g.index_add(0, hit, torch.cat(groups, dim=1))
