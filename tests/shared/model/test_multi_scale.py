"""The encoder of several scales: what it sees, and what it must not see."""

import numpy as np
import pytest
import torch

from shared.contracts.labels import HAR7
from shared.contracts.modality import ACCELEROMETER, MODALITY_BY_NAME, MODALITY_NAMES
from shared.model.bundle import LoadedModel
from shared.model.multi_scale import CLIP_G, SPECTRUM_HZ, MultiScaleEncoder
from shared.model.network import BASELINE, FusionNetwork, NetworkConfig
from shared.signal.features import accelerometer_features
from tests.shared.model.test_bundle import manifest_of

SECONDS = torch.arange(ACCELEROMETER.grid_n) / ACCELEROMETER.rate_hz
INDEPENDENT_OF_A_TURN = [*range(150), *range(156, 160)]
"""Of the statistics: the spectra, the length's variance and the horizontal stillness; not gravity and the axes' own."""


def network(fusion: str = "concatenation") -> FusionNetwork:
    torch.manual_seed(0)
    return FusionNetwork(NetworkConfig(HAR7, encoder="multi_scale", fusion=fusion)).eval()  # type: ignore[arg-type]


def raw_g(n: int = 4, seed: int = 0) -> torch.Tensor:
    """(n, 3, 500) swings of a wrist that gravity pulls at, of which none reaches what is clipped."""
    generator = torch.Generator().manual_seed(seed)
    gravity = torch.nn.functional.normalize(torch.randn((n, 3, 1), generator=generator), dim=1)
    swing = 0.3 * torch.randn((n, 3, 1), generator=generator).clamp(-1, 1)
    noise = 0.02 * torch.randn((n, 3, len(SECONDS)), generator=generator)
    return gravity + swing * torch.sin(2 * torch.pi * 1.7 * SECONDS) + noise


def inputs(raw: torch.Tensor, baseline_g: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What the network takes, of this signal split so; zeros stand for its derivatives, heart rate and steps."""
    features = {name: torch.zeros((len(raw), *MODALITY_BY_NAME[name].feature_shape)) for name in MODALITY_NAMES}
    features["accelerometer"][:, :3] = raw - baseline_g[:, :, None]
    return features | {BASELINE: baseline_g}, torch.ones((len(raw), 3), dtype=torch.bool)


def turns() -> dict[str, torch.Tensor]:
    """Each (3, 3): wrists of whom gravity and every movement has another direction, and the same size."""
    anyhow = torch.linalg.qr(torch.randn((3, 3), generator=torch.Generator().manual_seed(3))).Q
    return {
        "other wrist": torch.diag(torch.tensor([-1.0, 1.0, 1.0])),
        "turned by 180 degrees": torch.diag(torch.tensor([-1.0, -1.0, 1.0])),
        "anyhow": anyhow,
    }


@pytest.mark.parametrize("baseline", ["none", "gravity", "of another posture", "far away"])
def test_how_the_signal_is_split_into_baseline_and_rest_does_not_matter(baseline: str) -> None:
    raw, net = raw_g(), network()
    split = {
        "none": torch.zeros(4, 3),
        "gravity": raw.mean(2),
        "of another posture": torch.tensor([[0.012, -0.033, 0.98]]).expand(4, 3),
        "far away": torch.tensor([[-3.0, 5.0, 2.0]]).expand(4, 3),
    }[baseline]
    torch.testing.assert_close(net(*inputs(raw, split)), net(*inputs(raw, torch.zeros(4, 3))), rtol=0, atol=1e-5)
    # It is no constant: the same rest beside another baseline is another signal.
    features, mask = inputs(raw, split)
    features[BASELINE] = split + torch.tensor([0.5, -0.5, 0.5])
    assert (net(features, mask) - net(*inputs(raw, split))).abs().max() > 1e-3


def test_two_baselines_give_the_same_answer_through_the_live_features() -> None:
    net = network()
    model = LoadedModel(manifest_of(net.config, temperature=0.1), net)
    mg = (raw_g(6) * 1000).round().numpy()

    def answer(baseline_mg: tuple[int, int, int]) -> np.ndarray:
        accelerometer = accelerometer_features(mg, np.array([baseline_mg] * 6)).astype(np.float16)
        others = {name: np.zeros(MODALITY_BY_NAME[name].feature_shape, np.float16) for name in MODALITY_NAMES[1:]}
        windows = [{"accelerometer": array, **others} for array in accelerometer]
        masks = [{"accelerometer": True, "heart_rate": False, "steps": False}] * 6
        return model.probabilities(windows, masks, [baseline_mg] * 6)

    stable, cold = answer((12, -33, 980)), answer((0, 0, 0))
    # Half a thousandth of a g: what float16 holds of a signal of 1 g.
    np.testing.assert_allclose(stable, cold, rtol=0, atol=2e-3)
    assert np.ptp(stable, axis=0).max() > 0.02


def test_it_looks_at_the_signal_alone_and_no_further_than_a_watch_measures() -> None:
    net, (features, mask) = network(), inputs(raw_g(), torch.zeros(4, 3))
    derived = dict(features, accelerometer=features["accelerometer"].clone())
    derived["accelerometer"][:, 3:] = torch.inf
    assert torch.equal(net(features, mask), net(derived, mask))
    loud = dict(features, accelerometer=features["accelerometer"].clone())
    loud["accelerometer"][:, :3, 100:120] = CLIP_G
    louder = dict(loud, accelerometer=loud["accelerometer"].clone())
    louder["accelerometer"][:, :3, 100:120] = 7 * CLIP_G
    assert torch.equal(net(loud, mask), net(louder, mask))
    assert not torch.equal(net(loud, mask), net(features, mask))


@pytest.mark.parametrize("worn", turns())
def test_what_a_turn_or_a_mirror_leaves_is_seen_as_it_was(worn: str) -> None:
    encoder, raw, turn = MultiScaleEncoder(), raw_g(), turns()[worn]
    channels, statistics = encoder._views(raw)
    turned_channels, turned_statistics = encoder._views(turn @ raw)
    # Beside the axes, which turn with the wrist: what moves along gravity, and across it.
    torch.testing.assert_close(turned_channels[:, 6:], channels[:, 6:], rtol=0, atol=1e-4)
    torch.testing.assert_close(turned_channels[:, :3], turn @ channels[:, :3], rtol=0, atol=1e-5)
    kept = statistics[:, INDEPENDENT_OF_A_TURN]
    torch.testing.assert_close(turned_statistics[:, INDEPENDENT_OF_A_TURN], kept, rtol=0, atol=2e-2)
    torch.testing.assert_close(turned_statistics[:, 150:153], statistics[:, 150:153] @ turn.T, rtol=0, atol=1e-5)
    assert channels.shape == (4, 8, 500)
    assert statistics.shape == (4, 160)


@pytest.mark.parametrize("frequency_hz", [0.6, 1.0, 2.0, 5.0, 9.8])
def test_a_swing_along_gravity_stands_in_the_spectrum_at_its_frequency(frequency_hz: float) -> None:
    raw = torch.zeros((1, 3, len(SECONDS)))
    raw[0, 1] = 1 + 0.2 * torch.sin(2 * torch.pi * frequency_hz * SECONDS)
    _, statistics = MultiScaleEncoder()._views(raw)
    length, vertical, horizontal = statistics[0, :150].reshape(3, 50)
    for power in (length, vertical):
        assert SPECTRUM_HZ[int(power.argmax())] == pytest.approx(frequency_hz)
    assert horizontal.max() < vertical.max() - 5


def test_the_spectrum_is_that_of_the_whole_window() -> None:
    encoder, raw = MultiScaleEncoder(), raw_g()
    _, statistics = encoder._views(raw)
    length = raw.norm(dim=1).double()
    window = torch.hann_window(len(SECONDS), periodic=False, dtype=torch.float64) / 16
    # Every fourth line: the window's own are 0.05 Hz apart.
    power = torch.fft.rfft((length - length.mean(1, keepdim=True)) * window).abs().square()[:, 4:201:4]
    torch.testing.assert_close(statistics[:, :50], torch.log(power + 1e-5).float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("fusion", ["concatenation", "low_rank", "gated", "outer_product"])
def test_stillness_and_absence_give_finite_numbers_and_gradients(fusion: str) -> None:
    raw = raw_g()
    raw[0] = 0.0  # zero-filled
    raw[1] = torch.tensor([0.0, 0.0, 1.0])[:, None]  # on a table
    features, mask = inputs(raw, torch.zeros(4, 3))
    mask[2] = torch.tensor([False, True, True])
    mask[3] = False
    net = network(fusion)
    assert torch.isfinite(net(features, mask)).all()
    net.train()
    net(features, mask).square().sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name


def test_a_bundle_does_not_hold_what_can_be_computed() -> None:
    assert not [name for name in network().state_dict() if "waves" in name]
