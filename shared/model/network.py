"""The fusion network, whole: Mallol-Ragolta et al. 2022, section 4.2.

One encoder per modality with a 16-d embedding, fusion by concatenation or outer product, a small classifier. Trainable
parameters with three modalities and seven classes: CNN 1,199 (concatenation) and 79,039 (outer product), GRU 3,015 and
80,855.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from shared.modality import BY_NAME, NAMES

Encoder = Literal["cnn", "gru"]
Fusion = Literal["concatenation", "outer_product"]

EMBEDDING = 16
"""Features per modality, whatever the encoder: CNN 8 filters x 2 pooled halves, GRU 8 hidden x 2 directions."""
HIDDEN = 8
KERNEL = 2
POOLED = 2
CLASSIFIER = 16
DROPOUT = 0.3


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What a network is made of; raises ValueError naming what it is not made of."""

    classes: tuple[str, ...]
    modalities: tuple[str, ...] = NAMES
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
        if unknown := set(self.modalities) - BY_NAME.keys():
            raise ValueError(f"modality {min(unknown)!r}, known are {', '.join(NAMES)}")
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes {self.classes}: at least two, each once")

    @property
    def fused_features(self) -> int:
        """Features that the classifier sees: 16 m, or (16 + 1)^m."""
        m = len(self.modalities)
        return EMBEDDING * m if self.fusion == "concatenation" else (EMBEDDING + 1) ** m


class CnnEncoder(nn.Module):
    """(batch, channels, time) to (batch, 16): what the 8 filters find in each half of the window."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, HIDDEN, KERNEL)
        self.norm = nn.BatchNorm1d(HIDDEN)
        self.pool = nn.AdaptiveAvgPool1d(POOLED)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
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


class FusionNetwork(nn.Module):
    """Features and mask of a batch to logits."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        encoder = CnnEncoder if config.encoder == "cnn" else GruEncoder
        self.encoders = nn.ModuleDict({name: encoder(BY_NAME[name].feature_channels) for name in config.modalities})
        self.classifier = nn.Sequential(
            nn.Dropout(DROPOUT),
            nn.Linear(config.fused_features, CLASSIFIER),
            nn.ReLU(),
            nn.Linear(CLASSIFIER, len(config.classes)),
        )

    def forward(self, features: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """Logits (batch, classes).

        ``features``: per modality (batch, channels, time) float32; ``mask``: (batch, modalities) bool in the order of
        the config. An absent modality's embedding is zeros, so that what its features hold does not matter.
        """
        embeddings = [
            torch.where(mask[:, index, None], self.encoders[name](features[name]), 0.0)  # (batch, 16)
            for index, name in enumerate(self.config.modalities)
        ]
        logits: Tensor = self.classifier(self._fuse(embeddings))
        return logits

    def _fuse(self, embeddings: list[Tensor]) -> Tensor:
        if self.config.fusion == "concatenation":
            return torch.cat(embeddings, dim=1)  # (batch, 16 m)
        # The appended 1 keeps the products of fewer modalities, so a masked one leaves the others' terms standing.
        extended = [nn.functional.pad(embedding, (0, 1), value=1.0) for embedding in embeddings]  # (batch, 17)
        fused = extended[0]
        for embedding in extended[1:]:
            product = fused[:, :, None] * embedding[:, None, :]  # (batch, 17^k, 17)
            fused = torch.flatten(product, 1)  # (batch, 17^(k+1))
        return fused
