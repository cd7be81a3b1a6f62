"""Wrists worn otherwise: what an alteration must leave, and that it alters at all."""

from dataclasses import fields, replace

import pytest
import torch

from training.trainer.augment import Augmentation, _stretch

NOTHING = Augmentation(mirror=False, tilt_deg=0.0, scale=0.0, noise_g=0.0, stretch=0.0)
N = 4_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def windows(n: int = 6, groups: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    made = generator(9)
    return torch.randn((n, 3 * groups, 500), generator=made), torch.randn((n, 3), generator=made)


def matrices(augmentation: Augmentation, seed: int = 0) -> torch.Tensor:
    """(N, 3, 3) what each window is multiplied by: what becomes of the three unit vectors."""
    return augmentation(torch.eye(3).expand(N, 3, 3), torch.zeros(N, 3), generator(seed))[0]


def test_nothing_of_everything_changes_nothing() -> None:
    g, baseline_g = windows()
    same, same_baseline = NOTHING(g, baseline_g, generator())
    assert torch.equal(same, g)
    assert torch.equal(same_baseline, baseline_g)


@pytest.mark.parametrize("name", [field.name for field in fields(Augmentation)])
def test_each_alone_changes_something(name: str) -> None:
    only = replace(NOTHING, **{name: getattr(Augmentation(), name)})
    g, baseline_g = windows()
    altered, _ = only(g, baseline_g, generator())
    assert altered.shape == g.shape
    assert (altered - g).abs().max() > 1e-3


def test_a_turn_keeps_lengths_and_handedness() -> None:
    tilted = replace(NOTHING, tilt_deg=12.0)
    g, baseline_g = windows()
    turned, turned_baseline = tilted(g, baseline_g, generator())
    length = g.reshape(6, 3, 3, 500).norm(dim=2)
    torch.testing.assert_close(turned.reshape(6, 3, 3, 500).norm(dim=2), length, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(turned_baseline.norm(dim=1), baseline_g.norm(dim=1), rtol=1e-5, atol=1e-5)
    turn = matrices(tilted)
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3).expand(N, 3, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(N), rtol=0, atol=1e-5)
    cosine = (turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    angle_deg = torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
    assert angle_deg.square().mean().sqrt() == pytest.approx(12.0, rel=0.05)


def test_a_mirror_keeps_z_and_flips_x_and_y_each_by_chance() -> None:
    sign = matrices(replace(NOTHING, mirror=True))
    assert torch.equal(sign.abs(), torch.eye(3).expand(N, 3, 3))
    x, y, z = sign.diagonal(dim1=1, dim2=2).T
    assert (z == 1).all()
    for pair in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        assert ((x == pair[0]) & (y == pair[1])).float().mean() == pytest.approx(0.25, abs=0.03)


def test_the_gain_is_one_per_window() -> None:
    gains = matrices(replace(NOTHING, scale=0.04))
    gain = gains[:, 0, 0]
    torch.testing.assert_close(gains, gain[:, None, None] * torch.eye(3))
    assert gain.mean() == pytest.approx(1.0, abs=0.005)
    assert gain.std() == pytest.approx(0.04, rel=0.05)


def test_signal_derivatives_and_baseline_are_turned_alike() -> None:
    worn = Augmentation(noise_g=0.0, stretch=0.0)
    g, baseline_g = windows(groups=1)
    three, turned_baseline = worn(g.repeat(1, 3, 1), baseline_g, generator())
    assert torch.equal(three[:, :3], three[:, 3:6])
    assert torch.equal(three[:, :3], three[:, 6:])
    # So that the sum, which is what the watch measured, is the turned sum.
    whole, _ = worn(g + baseline_g[:, :, None], baseline_g, generator())
    torch.testing.assert_close(three[:, :3] + turned_baseline[:, :, None], whole, rtol=0, atol=1e-5)


def test_noise_has_at_most_its_sd_and_spares_the_baseline() -> None:
    g, baseline_g = windows(n=200)
    noisy, same_baseline = replace(NOTHING, noise_g=0.01)(g, baseline_g, generator())
    sd = (noisy - g).std(dim=(1, 2))
    assert torch.equal(same_baseline, baseline_g)
    assert sd.max() < 0.0105
    assert sd.min() < 0.001
    assert sd.mean() == pytest.approx(0.005, abs=0.001)


@pytest.mark.parametrize("tempo", [0.9, 0.951, 1.0, 1.04, 1.1])
def test_a_stretch_keeps_the_shape_and_the_level_and_changes_the_tempo(tempo: float) -> None:
    seconds = torch.arange(500) / 25
    g = torch.sin(2 * torch.pi * 2.0 * seconds).expand(2, 3, 500)
    played = _stretch(g, tempo)
    assert played.shape == g.shape
    assert torch.equal(_stretch(torch.full((1, 3, 500), 0.7), tempo), torch.full((1, 3, 500), 0.7))
    crossings = (played[0, 0, :440] * played[0, 0, 1:441] < 0).sum().item()
    assert crossings == pytest.approx(2 * 2.0 * 440 / 25 / tempo, abs=2)


def test_a_faster_signal_goes_on_without_a_jump() -> None:
    ramp = torch.linspace(0, 1, 500).expand(1, 3, 500)
    played = _stretch(ramp, 0.9)
    assert played.diff(dim=2).abs().max() < 0.003
    torch.testing.assert_close(played[:, :, 450:], played[:, :, 400:450].flip(2))


def test_the_same_seed_alters_alike_and_another_otherwise() -> None:
    g, baseline_g = windows()
    one, two, other = (Augmentation()(g, baseline_g, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[0], other[0])
    assert not torch.equal(one[1], other[1])


def test_windows_are_altered_each_for_itself() -> None:
    turn = matrices(replace(NOTHING, tilt_deg=12.0))
    assert len(torch.unique(turn[:, 0, 1])) > 0.9 * N
