"""The fusion network: Mallol-Ragolta et al. 2022, section 4.2, with extensions.

One encoder per modality, fusion by concatenation or outer product, a small classifier. With the paper's encoders (16
features each), three modalities and seven classes the trainable parameters are: CNN 1,199 (concatenation) and 79,039
(outer product), GRU 3,015 and 80,855. The encoder "multi_scale" and the fusions "low_rank" (Liu et al. 2018, "Efficient
Low-rank Multimodal Fusion with Modality-Specific Factors") and "gated" are not the paper's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from shared.contracts.modality import ACCELEROMETER, MODALITY_BY_NAME, MODALITY_NAMES
from shared.model.multi_scale import EMBEDDING as MULTI_SCALE_EMBEDDING
from shared.model.multi_scale import MultiScaleEncoder

Encoder = Literal["cnn", "gru", "multi_scale"]
Fusion = Literal["concatenation", "outer_product", "low_rank", "gated"]

BASELINE = "accelerometer_baseline_g"
"""Key of an additional input: the (batch, 3) baseline subtracted from the acceleration; only "multi_scale" uses it."""

EMBEDDING = 16
"""Features per modality of the paper's encoders: CNN 8 filters x 2 pooled halves, GRU 8 hidden x 2 directions."""
HIDDEN = 8
KERNEL = 2
POOLED = 2
CLASSIFIER = {"cnn": 16, "gru": 16, "multi_scale": 64}
CLAMPS = {"heart_rate": (math.inf, 8.0, 8.0), "steps": (5.0, 5.0)}
"""With the encoder "multi_scale", each feature channel of these modalities is clamped to +- this value (bpm and steps
per second, and their changes), so that one wrong reading, with derivatives a hundred times the real ones, cannot
outweigh the rest of the window. 99.9 % of heart rates measured at a wrist change by at most 6 bpm per second; a sprint
takes 4.3 steps per second."""
DROPOUT = 0.3
RANK, RANK_FEATURES = 4, 32
"""Low-rank fusion: terms of the sum, and features of each."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Structure of a network; raises ValueError naming the invalid value."""

    classes: tuple[str, ...]
    modalities: tuple[str, ...] = MODALITY_NAMES
    encoder: Encoder = "cnn"
    fusion: Fusion = "concatenation"

    def __post_init__(self) -> None:
        for what, value, known in (
            ("encoder", self.encoder, get_args(Encoder)),
            ("fusion", self.fusion, get_args(Fusion)),
        ):
            if value not in known:
                raise ValueError(f"{what} {value!r}, known are {', '.join(known)}")
        if not self.modalities or len(set(self.modalities)) != len(self.modalities):
            raise ValueError(f"modalities {self.modalities}: at least one, each once")
        if unknown := set(self.modalities) - MODALITY_BY_NAME.keys():
            raise ValueError(f"modality {min(unknown)!r}, known are {', '.join(MODALITY_NAMES)}")
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes {self.classes}: at least two, each once")

    @property
    def embeddings(self) -> list[int]:
        """Features of each modality's embedding."""
        wide = MULTI_SCALE_EMBEDDING if self.encoder == "multi_scale" else EMBEDDING
        return [wide if name == ACCELEROMETER.name else EMBEDDING for name in self.modalities]

    @property
    def fused_features(self) -> int:
        """Inputs of the classifier: 16 m or (16 + 1)^m of the paper's embeddings, 32 of the low rank."""
        if self.fusion == "low_rank":
            return RANK_FEATURES
        if self.fusion == "outer_product":
            return math.prod(width + 1 for width in self.embeddings)
        return sum(self.embeddings)


class CnnEncoder(nn.Module):
    """(batch, channels, time) to (batch, 16): what the 8 filters find in each half of the window.

    ``clamps``: per channel, the largest magnitude passed to the filters; the paper's encoder has none.
    """

    clamps: Tensor | None

    def __init__(self, channels: int, clamps: Sequence[float] | None = None) -> None:
        super().__init__()
        limits = None if clamps is None else torch.tensor(clamps)[:, None]
        self.register_buffer("clamps", limits, persistent=False)
        self.convolution = nn.Conv1d(channels, HIDDEN, KERNEL)
        self.norm: nn.Module = nn.BatchNorm1d(HIDDEN)
        self.pool = nn.AdaptiveAvgPool1d(POOLED)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        if self.clamps is not None:
            x = x.clamp(-self.clamps, self.clamps)
        x = torch.relu(self.norm(self.convolution(x)))  # (batch, 8, time - 1)
        return torch.flatten(self.pool(x), 1)  # (batch, 8, 2) -> (batch, 16)


class GruEncoder(nn.Module):
    """(batch, channels, time) to (batch, 16): the final states of both directions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, HIDDEN, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        _, states = self.gru(x.transpose(1, 2))  # (batch, time, channels) -> (2, batch, 8)
        return torch.cat((states[0], states[1]), dim=1)  # (batch, 16)


class LowRankFusion(nn.Module):
    """The outer product of the extended embeddings, times a weight tensor that is a sum of ``RANK`` products."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.factors = nn.ModuleList(nn.Linear(width, RANK * RANK_FEATURES) for width in widths)

    def forward(self, embeddings: list[Tensor]) -> Tensor:
        """(batch, widths) each to (batch, 32)."""
        product: Tensor = self.factors[0](embeddings[0])
        for factor, embedding in zip(self.factors[1:], embeddings[1:], strict=True):
            product = product * factor(embedding)  # (batch, 4 x 32); a bias stands for the appended 1
        return product.reshape(-1, RANK, RANK_FEATURES).sum(1)


class GatedFusion(nn.Module):
    """Concatenation with each embedding weighted by a gate on all of them."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.gates = nn.Linear(sum(widths), len(widths))

    def forward(self, embeddings: list[Tensor]) -> Tensor:
        """(batch, widths) each to (batch, sum of the widths)."""
        gates = torch.sigmoid(self.gates(torch.cat(embeddings, dim=1)))  # (batch, modalities)
        return torch.cat([embedding * gates[:, i, None] for i, embedding in enumerate(embeddings)], dim=1)


class OuterProduct(nn.Module):
    """All products of one feature, or the appended 1, of each embedding.

    The 1 keeps the products of fewer modalities, so masking one leaves the terms of the others.
    """

    def forward(self, embeddings: list[Tensor]) -> Tensor:
        """(batch, 16) each to (batch, 17^m)."""
        extended = [nn.functional.pad(embedding, (0, 1), value=1.0) for embedding in embeddings]  # (batch, 17)
        fused = extended[0]
        for embedding in extended[1:]:
            product = fused[:, :, None] * embedding[:, None, :]  # (batch, 17^k, 17)
            fused = torch.flatten(product, 1)  # (batch, 17^(k+1))
        return fused


class Concatenation(nn.Module):
    """The embeddings in a row."""

    def forward(self, embeddings: list[Tensor]) -> Tensor:
        """(batch, 16) each to (batch, 16 m)."""
        return torch.cat(embeddings, dim=1)


class FusionNetwork(nn.Module):
    """Maps features and mask of a batch to logits."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = nn.ModuleDict({name: _encoder(config, name) for name in config.modalities})
        self.fusion = _fusion(config)
        width = CLASSIFIER[config.encoder]
        self.classifier = nn.Sequential(
            nn.Dropout(DROPOUT),
            nn.Linear(config.fused_features, width),
            nn.ReLU(),
            nn.Linear(width, len(config.classes)),
        )

    def forward(self, features: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """Logits (batch, classes).

        ``features``: per modality (batch, channels, time) float32, and ``BASELINE``; ``mask``: (batch, modalities) bool
        in the order of the config. A missing modality's embedding is zeros, so its features do not matter.
        """
        logits: Tensor = self.classifier(self.fuse(features, mask))
        return logits

    def fuse(self, features: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """(batch, fused features): the classifier's input."""
        embeddings = []
        for index, (name, encoder) in enumerate(self.encoders.items()):
            inputs = (
                (features[name], features[BASELINE]) if isinstance(encoder, MultiScaleEncoder) else (features[name],)
            )
            embeddings.append(torch.where(mask[:, index, None], encoder(*inputs), 0.0))  # (batch, 16)
        fused: Tensor = self.fusion(embeddings)
        return fused


def _encoder(config: NetworkConfig, modality: str) -> nn.Module:
    if config.encoder == "multi_scale" and modality == ACCELEROMETER.name:
        return MultiScaleEncoder()
    channels = MODALITY_BY_NAME[modality].feature_channels
    if config.encoder == "multi_scale":
        # Twenty samples are too few for several scales.
        return CnnEncoder(channels, CLAMPS[modality])
    return GruEncoder(channels) if config.encoder == "gru" else CnnEncoder(channels)


def _fusion(config: NetworkConfig) -> nn.Module:
    if config.fusion == "low_rank":
        return LowRankFusion(config.embeddings)
    if config.fusion == "gated":
        return GatedFusion(config.embeddings)
    return OuterProduct() if config.fusion == "outer_product" else Concatenation()
