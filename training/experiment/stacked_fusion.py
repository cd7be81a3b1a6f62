"""Fusion, dropout and the first layer of the classifier for many networks at once.

Three modalities' outer product has 4,913 features per window, more numbers than all else together: its gradient is
written out here, one network at a time, so that none of them leaves a core's cache.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_LEVELS = 1 << 16
"""Dropout is drawn with 16 bits a feature: 0.3 to within 1e-5 at a quarter of a float's price."""


class Dropout:
    """Which fused features of each network's batch stay.

    ``shape``: (batch, features) of a full batch. It is drawn whole, however much of it is asked for: what a network
    gets must not depend on how long the batches of others are.
    """

    def __init__(self, generators: Sequence[np.random.Generator], shape: tuple[int, int], dropout: float) -> None:
        values = shape[0] * shape[1]
        drawn = [generator.integers(0, 1 << 64, -(-values // 4), dtype=np.uint64) for generator in generators]
        self._bits = torch.from_numpy(np.stack(drawn).view(np.int16)[:, :values].reshape(-1, *shape))
        self._from = round(dropout * _LEVELS) - _LEVELS // 2
        self._scale = 1 / (1 - dropout)

    def mask(self, batch: int, models: slice | int = slice(None)) -> Tensor:
        """(models, batch, features), or without models where it is one: 0 where dropped, else 1 / (1 - dropout)."""
        bits = self._bits[models, :batch]
        return torch.ge(bits, self._from, out=torch.empty(bits.shape)).mul_(self._scale)


def hidden(embeddings: Sequence[Tensor], fusion: str, weight: Tensor, bias: Tensor, dropout: Dropout | None) -> Tensor:
    """(models, batch, 16) embeddings per modality to (models, batch, 16), before the ReLU.

    ``weight``: (models, 16, fused features); ``bias``: (models, 16).
    """
    if fusion == "outer_product":
        extended = [torch.nn.functional.pad(embedding, (0, 1), value=1.0) for embedding in embeddings]
        layer: Tensor = _OuterProductLayer.apply(weight, bias, dropout, *extended)
        return layer
    fused = torch.cat(list(embeddings), dim=2)
    if dropout:
        fused = fused * dropout.mask(fused.shape[1])
    return torch.baddbmm(bias[:, None], fused, weight.transpose(1, 2))


class _OuterProductLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, dropout: Dropout | None, *extended: Tensor) -> Tensor:
        ctx.save_for_backward(weight, *extended)
        ctx.dropout = dropout
        out = torch.empty(*extended[0].shape[:2], weight.shape[1])
        for model in range(len(weight)):
            fused = _outer([factor[model] for factor in extended])[-1]
            if dropout:
                fused = fused * dropout.mask(len(fused), model)
            torch.addmm(bias[model], fused, weight[model].T, out=out[model])
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, *extended = ctx.saved_tensors
        to_weight = torch.empty_like(weight)
        to_extended = [torch.empty_like(factor) for factor in extended]
        for model in range(len(weight)):
            products = _outer([factor[model] for factor in extended])
            fused, to_fused = products[-1], gradient[model] @ weight[model]
            if ctx.dropout:
                mask = ctx.dropout.mask(len(fused), model)
                fused = fused * mask
                to_fused *= mask
            torch.mm(gradient[model].T, fused, out=to_weight[model])
            # Peel the last factor off, one after the other.
            for index in range(len(extended) - 1, 0, -1):
                prefix, factor = products[index - 1], extended[index][model]
                table = to_fused.view(len(prefix), prefix.shape[1], -1)
                to_extended[index][model] = torch.bmm(prefix[:, None], table)[:, 0]
                to_fused = torch.bmm(table, factor[:, :, None])[:, :, 0]
            to_extended[0][model] = to_fused
        return to_weight, gradient.sum(dim=1), None, *to_extended


def _outer(factors: Sequence[Tensor]) -> list[Tensor]:
    """The outer products (batch, 17^k) of the first k factors (batch, 17)."""
    products = [factors[0]]
    for factor in factors[1:]:
        products.append(torch.flatten(products[-1][:, :, None] * factor[:, None, :], 1))
    return products
