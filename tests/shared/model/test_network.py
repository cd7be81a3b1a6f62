"""The network: the paper's parameter counts and those beyond, masks, fusion."""

import itertools
from typing import get_args

import pytest
import torch

from shared.contracts.labels import HAR7
from shared.contracts.modality import MODALITY_BY_NAME, MODALITY_NAMES
from shared.model.network import BASELINE, CLAMPS, RANK, RANK_FEATURES, Encoder, Fusion, FusionNetwork, NetworkConfig

VARIANTS = list(itertools.product(get_args(Encoder), get_args(Fusion)))


def batch(n: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = {
        name: torch.randn((n, *MODALITY_BY_NAME[name].feature_shape), generator=generator) for name in MODALITY_NAMES
    }
    return features | {BASELINE: torch.randn((n, 3), generator=generator)}


def network(**options: object) -> FusionNetwork:
    torch.manual_seed(0)
    return FusionNetwork(NetworkConfig(HAR7, **options)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("encoder", "fusion", "expected"),
    [
        ("cnn", "concatenation", 1_199),
        ("cnn", "outer_product", 79_039),
        ("gru", "concatenation", 3_015),
        ("gru", "outer_product", 80_855),
        # Not the paper's. The encoder has 68,160: scale 16, levels 1,888 + 7,824 + 28,032, spectrum 10,752, embedding
        # 19,648; those of heart rate and steps 72 and 56; the classifier behind a concatenation 6,663.
        ("multi_scale", "concatenation", 68_160 + 72 + 56 + 6_663),
        ("multi_scale", "gated", 68_160 + 72 + 56 + 6_663 + 291),
        ("multi_scale", "low_rank", 68_160 + 72 + 56 + 12_672 + 2_567),
        ("cnn", "low_rank", 7_471),
        ("cnn", "gated", 1_346),
    ],
)
def test_trainable_parameters_are_the_papers(encoder: str, fusion: str, expected: int) -> None:
    parameters = network(encoder=encoder, fusion=fusion).parameters()
    assert sum(p.numel() for p in parameters if p.requires_grad) == expected


@pytest.mark.parametrize(("encoder", "fusion"), VARIANTS)
@pytest.mark.parametrize("modalities", [m for r in (1, 2, 3) for m in itertools.combinations(MODALITY_NAMES, r)])
def test_logits_have_one_row_per_window_for_every_subset(
    encoder: str, fusion: str, modalities: tuple[str, ...]
) -> None:
    logits = network(encoder=encoder, fusion=fusion, modalities=modalities)(
        batch(3), torch.ones(3, len(modalities), dtype=torch.bool)
    )
    assert logits.shape == (3, 7)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(("encoder", "fusion"), VARIANTS)
@pytest.mark.parametrize("masked", MODALITY_NAMES)
def test_what_a_masked_modality_holds_does_not_matter(encoder: str, fusion: str, masked: str) -> None:
    net = network(encoder=encoder, fusion=fusion)
    mask = torch.tensor([[name != masked for name in MODALITY_NAMES]] * 4)
    features, other = batch(4), batch(4)
    other[masked] = torch.full_like(other[masked], torch.inf)
    if masked == "accelerometer":
        other[BASELINE] = torch.full_like(other[BASELINE], torch.nan)
    assert torch.equal(net(features, mask), net(other, mask))
    assert not torch.allclose(net(features, mask), net(features, torch.ones_like(mask)))


@pytest.mark.parametrize(("encoder", "fusion"), VARIANTS)
def test_each_window_has_its_own_mask(encoder: str, fusion: str) -> None:
    net = network(encoder=encoder, fusion=fusion)
    masks = torch.tensor(list(itertools.product((True,), (True, False), (True, False))))
    features = {name: array.repeat_interleave(4, dim=0) for name, array in batch(1).items()}
    together = net(features, masks)
    for row in range(4):
        alone = net({name: array[row : row + 1] for name, array in features.items()}, masks[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-6)


def test_outer_product_holds_the_concatenation_and_every_product() -> None:
    net = network(fusion="outer_product", modalities=("accelerometer", "heart_rate"))
    a, b = torch.randn(1, 16), torch.randn(1, 16)
    fused = net.fusion([a, b]).reshape(17, 17)
    torch.testing.assert_close(fused[:16, :16], torch.outer(a[0], b[0]))
    torch.testing.assert_close(fused[:16, 16], a[0])
    torch.testing.assert_close(fused[16, :16], b[0])
    assert fused[16, 16] == 1.0


def test_gates_weigh_each_modality_and_low_rank_multiplies_them() -> None:
    embeddings = [torch.randn(5, 16), torch.randn(5, 16)]
    gated = network(fusion="gated", modalities=("accelerometer", "heart_rate")).fusion
    weights = torch.sigmoid(gated.gates(torch.cat(embeddings, dim=1)))
    fused = gated(embeddings)
    torch.testing.assert_close(fused[:, :16], embeddings[0] * weights[:, :1])
    torch.testing.assert_close(fused[:, 16:], embeddings[1] * weights[:, 1:])

    low_rank = network(fusion="low_rank", modalities=("accelerometer", "heart_rate")).fusion
    # The same as the whole weight tensor, of which the factors are a decomposition.
    factors = [
        torch.cat([linear.weight, linear.bias[:, None]], dim=1).reshape(RANK, RANK_FEATURES, 17)
        for linear in low_rank.factors
    ]
    tensor = torch.einsum("rfa,rfb->fab", *factors)
    extended = [torch.nn.functional.pad(embedding, (0, 1), value=1.0) for embedding in embeddings]
    torch.testing.assert_close(low_rank(embeddings), torch.einsum("fab,na,nb->nf", tensor, *extended))


@pytest.mark.parametrize("modality", CLAMPS)
def test_the_default_encoder_sees_no_more_of_a_misread_value_than_of_a_sprint(modality: str) -> None:
    net = network(encoder="multi_scale")
    features, mask = batch(4), torch.ones(4, 3, dtype=torch.bool)
    limits = torch.tensor(CLAMPS[modality])
    features[modality][:, limits < torch.inf, 7] = 60.0
    sprint = features | {modality: features[modality].clone()}
    sprint[modality][:, limits < torch.inf, 7] = limits[limits < torch.inf]
    assert torch.equal(net(features, mask), net(sprint, mask))
    paper = network(encoder="cnn")
    assert not torch.equal(paper(features, mask), paper(sprint, mask))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"encoder": "transformer"}, "encoder 'transformer'"),
        ({"fusion": "sum"}, "fusion 'sum'"),
        ({"modalities": ("gyroscope",)}, "modality 'gyroscope'"),
        ({"modalities": ()}, "at least one"),
        ({"modalities": ("steps", "steps")}, "each once"),
        ({"classes": ("walking",)}, "at least two"),
    ],
)
def test_a_network_that_does_not_exist_is_named(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        NetworkConfig(**({"classes": HAR7} | options))  # type: ignore[arg-type]
