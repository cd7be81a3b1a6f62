"""Many GRU encoders at once, both directions of each, with the gradient written out.

A step of all networks is one batched product: the state, the input and a 1 stand in one column, the weights of the four
pre-activations (reset, update, hidden and input part of the new state) in one matrix. What costs is the number of
operations per step, 500 steps long: five forth, ten back, whatever the number of networks.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.model.network import HIDDEN

_R, _Z, _HN, _N = (slice(HIDDEN * gate, HIDDEN * (gate + 1)) for gate in range(4))
_RZ = slice(0, 2 * HIDDEN)
_ON_STATE = slice(0, 3 * HIDDEN)
"""The input part of the new state does not depend on the state."""


class GruWindows:
    """One modality's windows (n, channels, time)."""

    def __init__(self, features: NDArray[np.float16]) -> None:
        self._features = torch.from_numpy(features)
        self._columns, self._active = _Workspace(), _Workspace()

    def encode(
        self,
        parameters: Mapping[str, Tensor],
        running: Mapping[str, Tensor],  # noqa: ARG002
        rows: Tensor,
        share: Tensor | None,  # noqa: ARG002
    ) -> Tensor:
        """(models, batch, 16) embeddings of the windows in ``rows`` (models, batch): both final states.

        ``parameters``: as in GruEncoder's state, with a leading dimension of models.
        """
        models, batch = rows.shape
        both = [_joint_weights(parameters, suffix) for suffix in ("", "_reverse")]
        weights = torch.stack(both, dim=1).flatten(0, 1)  # (models * 2, 32, 8 + channels + 1)
        final: Tensor = _Gru.apply(weights, self._filled(rows), self._active)
        return final.view(models, 2 * HIDDEN, batch).transpose(1, 2)

    def _filled(self, rows: Tensor) -> Tensor:
        """(time + 1, models * 2, 8 + channels + 1, batch): room for the state, the input of the step, and a 1."""
        models, batch = rows.shape
        _, channels, time = self._features.shape
        taken = self._features.index_select(0, rows.reshape(-1)).view(models, batch, channels, time)
        x = taken.permute(3, 0, 2, 1)  # (time, models, channels, batch)
        columns = self._columns.take(time + 1, models, 2, HIDDEN + channels + 1, batch)
        columns[:time, :, 0, HIDDEN:-1] = x
        columns[:time, :, 1, HIDDEN:-1] = columns[:time, :, 0, HIDDEN:-1].flip(0)
        columns[:, :, :, -1] = 1.0
        return columns.flatten(1, 2)


class _Workspace:
    """Memory that one step after the other writes to: hundreds of MB fresh from the system cost more than the step.

    What was taken before is lost: a step must have gone back before the next goes forth.
    """

    def __init__(self) -> None:
        self._memory = torch.empty(0)

    def take(self, *shape: int) -> Tensor:
        """Uninitialised."""
        if len(self._memory) < (n := prod(shape)):
            self._memory = torch.empty(n)
        return self._memory[:n].view(shape)


def _joint_weights(parameters: Mapping[str, Tensor], suffix: str) -> Tensor:
    """(models, 32, 8 + channels + 1): torch's weights of one direction, as the joint product takes them."""
    of_input, of_state = parameters[f"gru.weight_ih_l0{suffix}"], parameters[f"gru.weight_hh_l0{suffix}"]
    bias_input, bias_state = parameters[f"gru.bias_ih_l0{suffix}"], parameters[f"gru.bias_hh_l0{suffix}"]
    new = slice(2 * HIDDEN, 3 * HIDDEN)  # torch's order: reset, update, new
    gates = torch.cat([of_state[:, _RZ], of_input[:, _RZ], (bias_state + bias_input)[:, _RZ, None]], dim=2)
    hidden_part = torch.cat([of_state[:, new], torch.zeros_like(of_input[:, new]), bias_state[:, new, None]], dim=2)
    input_part = torch.cat([torch.zeros_like(of_state[:, new]), of_input[:, new], bias_input[:, new, None]], dim=2)
    return torch.cat([gates, hidden_part, input_part], dim=1)


class _Gru(torch.autograd.Function):
    """(units, 32, rows) weights and (time + 1, units, rows, batch) columns to the final states (units, 8, batch)."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, columns: Tensor, workspace: _Workspace) -> Tensor:
        units, gates, _ = weights.shape
        steps, batch = len(columns) - 1, columns.shape[3]
        active = workspace.take(steps, units, gates, batch)
        state = columns[:, :, :HIDDEN]
        state[0] = 0.0
        for now, column, before, after in zip(
            active.unbind(), columns[:-1].unbind(), state[:-1].unbind(), state[1:].unbind(), strict=True
        ):
            torch.bmm(weights, column, out=now)
            now[:, _RZ].sigmoid_()
            new = now[:, _N]
            new.addcmul_(now[:, _R], now[:, _HN]).tanh_()
            torch.lerp(new, before, now[:, _Z], out=after)
        ctx.save_for_backward(weights)
        ctx.columns, ctx.active = columns, active
        return state[-1].clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (weights,) = ctx.saved_tensors
        columns, active = ctx.columns, ctx.active
        units, gates, _ = weights.shape
        to_weights = torch.zeros_like(weights)
        back = weights[:, _ON_STATE, :HIDDEN].transpose(1, 2).contiguous()
        pre = torch.empty(units, gates, gradient.shape[2])  # gradient of the pre-activations
        pre_r, pre_z, pre_hn, pre_n = (pre[:, gate] for gate in (_R, _Z, _HN, _N))
        to_state = gradient.contiguous()
        for now, column in zip(reversed(active.unbind()), reversed(columns[:-1].unbind()), strict=True):
            kept = to_state * now[:, _Z]
            torch.ops.aten.tanh_backward.grad_input(to_state - kept, now[:, _N], grad_input=pre_n)
            torch.mul(pre_n, now[:, _R], out=pre_hn)
            torch.mul(pre_n, now[:, _HN], out=pre_r)
            torch.sub(column[:, :HIDDEN], now[:, _N], out=pre_z).mul_(to_state)
            torch.ops.aten.sigmoid_backward.grad_input(pre[:, _RZ], now[:, _RZ], grad_input=pre[:, _RZ])
            to_weights.baddbmm_(pre, column.transpose(1, 2))
            to_state = kept.baddbmm_(back, pre[:, _ON_STATE])
        return to_weights, None, None
