"""Optimise a trained network for inference: the same function, except for the last bits.

Batch norm is folded into the layer before it. Convolutions run with channels last, as oneDNN computes them: with
torch's own layout every input and output would be copied.
"""

from torch import Tensor, nn
from torch import channels_last as CHANNELS_LAST  # noqa: N812 - a constant
from torch.nn.functional import conv2d
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from shared.model.network import CnnEncoder


class FoldedConvolution(nn.Module):
    """Convolution, batch norm and ReLU as one: (batch, channels, time) to (batch, filters, shorter time)."""

    weight: Tensor
    bias: Tensor

    def __init__(self, convolution: nn.Conv1d, norm: nn.BatchNorm1d) -> None:
        super().__init__()
        folded = fuse_conv_bn_eval(convolution, norm)
        assert folded.bias is not None
        # In torch only images have a memory format, so a series becomes an image of one row.
        picture = folded.weight.detach().unsqueeze(2).contiguous(memory_format=CHANNELS_LAST)
        self.register_buffer("weight", picture)  # (filters, channels, 1, kernel)
        self.register_buffer("bias", folded.bias.detach())
        self.stride, self.padding = (1, convolution.stride[0]), (0, int(convolution.padding[0]))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        # In place: a new tensor causes a page fault for every 4 KiB.
        return conv2d(x.unsqueeze(2), self.weight, self.bias, self.stride, self.padding).relu_().squeeze(2)


def fold_batch_norm(network: nn.Module) -> None:
    """Fold in place each batch norm that follows a suitable layer; ``network`` is in eval mode."""
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            _fold_sequence(module)
        elif isinstance(module, CnnEncoder) and isinstance(module.norm, nn.BatchNorm1d):
            module.convolution = fuse_conv_bn_eval(module.convolution, module.norm)
            module.norm = nn.Identity()


def _fold_sequence(block: nn.Sequential) -> None:
    for index in range(len(block) - 1, 0, -1):
        layer, norm = block[index - 1], block[index]
        if not isinstance(norm, nn.BatchNorm1d):
            continue
        if isinstance(layer, nn.Linear):
            block[index - 1] = fuse_linear_bn_eval(layer, norm)
            del block[index]
        elif isinstance(layer, nn.Conv1d) and isinstance(block[index + 1], nn.ReLU):
            block[index - 1] = FoldedConvolution(layer, norm)
            del block[index : index + 2]
