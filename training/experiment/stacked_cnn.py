"""Many CNN encoders at once, each on its own batch.

Batch norm in training is affine with coefficients that follow from the first and second moments of the batch's input,
which are sums over windows and are computed once. Folded into the convolution, an encoder is a product, a ReLU and a
mean over each half. Mean of ReLU(W x) = W (sum of those x for which it is positive): once these sums are known, by two
matrix products without a gradient, everything that needs one is as small as the weights.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.model.network import HIDDEN, KERNEL, POOLED

EPSILON = 1e-5
MOMENTUM = 0.1
"""Of torch's BatchNorm1d."""
CHUNK_VALUES = 1 << 20
"""Input values per pass: small enough to stay in a core's cache."""


class CnnWindows:
    """One modality's windows (n, channels, time) laid out for the products: q = 2 channels + 1 rows.

    ``columns``: (n, 2, q, length) float16, the inputs under the kernel at each position of each half, and a 1.
    ``moments``: (n, q * q) float64, the mean of their products over the positions.
    """

    def __init__(self, features: NDArray[np.float16]) -> None:
        x = torch.from_numpy(features)
        positions = x.shape[2] - KERNEL + 1
        # AdaptiveAvgPool1d's halves: where the number is odd both hold the middle one.
        self.length = -(-positions // POOLED)
        halves = (slice(0, self.length), slice(positions - self.length, positions))
        self.positions = positions
        self.columns = torch.ones(len(x), POOLED, KERNEL * x.shape[1] + 1, self.length, dtype=torch.float16)
        self.moments = torch.empty(len(x), (KERNEL * x.shape[1] + 1) ** 2, dtype=torch.float64)
        for start in range(0, len(x), 256):
            part = slice(start, start + 256)
            taps = [x[part, :, tap : tap + positions] for tap in range(KERNEL)]
            flat = torch.cat([*taps, torch.ones_like(taps[0][:, :1])], dim=1)  # (n, q, positions)
            for half, span in enumerate(halves):
                self.columns[part, half] = flat[:, :, span]
            exact = flat.double()
            self.moments[part] = torch.flatten(torch.bmm(exact, exact.transpose(1, 2)) / positions, 1)

    def encode(
        self,
        parameters: Mapping[str, Tensor],
        running: Mapping[str, Tensor],
        rows: Tensor,
        share: Tensor | None,
    ) -> Tensor:
        """(models, batch, 16) embeddings of the windows in ``rows`` (models, batch).

        ``parameters`` and ``running`` (changed in place) as in CnnEncoder's state, with a leading dimension of models.
        ``share``: (models, batch) float64, the weight of each window in its batch's moments, rows sum to 1; None
        evaluates with the running moments.
        """
        kernel = parameters["convolution.weight"]  # (models, 8, channels, 2)
        models, batch = rows.shape
        weight = kernel.transpose(2, 3).reshape(models, HIDDEN, -1)  # (models, 8, 2 channels): tap by tap
        gain, offset = parameters["norm.weight"], parameters["norm.bias"]
        if share is None:
            scale = gain * torch.rsqrt(running["norm.running_var"] + EPSILON)
            shift = offset + scale * (parameters["convolution.bias"] - running["norm.running_mean"])
        else:
            q = weight.shape[2] + 1
            moments = self.moments.index_select(0, rows.reshape(-1)).view(models, batch, q * q)
            moment = torch.bmm(share[:, None], moments).view(models, q, q)
            mean = moment[:, :-1, -1:]  # (models, 2 channels, 1)
            covariance = (moment[:, :-1, :-1] - mean * mean.transpose(1, 2)).float()
            filtered_mean = torch.bmm(weight, mean.float())[..., 0]  # (models, 8); the bias is batch norm's to remove
            variance = (torch.bmm(weight, covariance) * weight).sum(dim=2)
            scale = gain * torch.rsqrt(variance + EPSILON)
            shift = offset - scale * filtered_mean
            with torch.no_grad():
                n = (share > 0).sum(dim=1, keepdim=True) * self.positions
                running["norm.running_mean"].lerp_(filtered_mean + parameters["convolution.bias"], MOMENTUM)
                running["norm.running_var"].lerp_(variance * (n / (n - 1)), MOMENTUM)
        folded = torch.cat([weight * scale[..., None], shift[..., None]], dim=2)  # (models, 8, q)
        sums = self._active_sums(rows, folded.detach())  # (models, batch, 2, 8, q)
        pooled = (sums * folded[:, None, None]).sum(dim=4)  # (models, batch, 2, 8)
        return pooled.transpose(2, 3).reshape(models, batch, HIDDEN * POOLED)

    def _active_sums(self, rows: Tensor, weight: Tensor) -> Tensor:
        """Mean over each half of the inputs where the filter is positive.

        ``rows``: (models, batch); ``weight``: (models, filters, q). Returns (models, batch, 2, filters, q).
        """
        models, batch = rows.shape
        _, halves, q, length = self.columns.shape
        filters = weight.shape[1]
        sums = torch.empty(models, batch, halves, filters, q)
        step = max(1, CHUNK_VALUES // (batch * halves * q * length))
        for start in range(0, models, step):
            part = slice(start, start + step)
            taken = self.columns.index_select(0, rows[part].reshape(-1)).float()
            x = taken.view(-1, batch * halves, q, length)
            filtered = weight[part, None].expand(-1, batch * halves, -1, -1).reshape(-1, filters, q)
            positive = torch.bmm(filtered, x.view(-1, q, length)).gt_(0)  # (chunk * batch * 2, filters, length)
            found = torch.bmm(positive, x.view(-1, q, length).transpose(1, 2))
            sums[part] = found.view(-1, batch, halves, filters, q)
        return sums.div_(length)
