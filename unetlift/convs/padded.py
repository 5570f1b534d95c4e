"""Padding of one, two or three axes, for maps smaller than the pad too, that keeps the memory format it is given."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.errors import one_of
from unetlift.types import Field, Map

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")

Pads = tuple[int, ...]
"""Before and after each axis, the last axis first: left, right, top, bottom, which is PyTorch's order."""

Padded = Float[Tensor, "n c *padded"]
Filtered = Float[Tensor, "n c_out h w"]


def pad(x: Field, pads: Pads, mode: str) -> Padded:
    """Pads one, two or three axes in any of `PADDING_MODES`.

    Unlike `torch.nn.functional.pad` it takes pads larger than the map (a 1x1 map at the bottom of a U has to be
    reflected too) and keeps channels_last in every mode.

    Args:
        x: (N, C, *size).
        pads: two for each axis of `size`, the last axis first, none of them negative.
        mode: one of `PADDING_MODES`.

    Returns:
        (N, C, *padded).
    """
    if not any(pads):
        return x
    if mode == "zeros":
        return F.pad(x, pads)
    axes = [(x.ndim - 1 - k, pads[2 * k], pads[2 * k + 1]) for k in range(len(pads) // 2)]
    if mode == "circular":
        for axis, before, after in reversed(axes):
            x = _wrap(x, before, after, axis)
        return x
    if mode == "reflect" and any(max(before, after) >= x.shape[axis] for axis, before, after in axes):
        for axis, before, after in reversed(axes):
            x = x.index_select(axis, source_index(x.shape[axis], before, after, mode, x.device))
        return x
    return F.pad(x, pads, mode=mode)


def _wrap(x: Tensor, before: int, after: int, dim: int) -> Tensor:
    size = x.shape[dim]
    if max(before, after) > size:
        return x.index_select(dim, source_index(size, before, after, "circular", x.device))
    return _Wrap.apply(x, before, after, dim) if before or after else x


class _Wrap(torch.autograd.Function):
    """Circular padding along one axis: PyTorch's own loses channels_last, forward and backward."""

    @staticmethod
    def forward(ctx, x: Tensor, before: int, after: int, dim: int) -> Tensor:
        ctx.pads, size = (before, after, dim), x.shape[dim]
        parts = x.narrow(dim, size - before, before), x, x.narrow(dim, 0, after)
        return torch.cat([part for part in parts if part.shape[dim]], dim)  # an empty part would lose channels_last

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None, None]:
        before, after, dim = ctx.pads
        size = grad.shape[dim] - before - after
        inner = grad.narrow(dim, before, size).clone()
        inner.narrow(dim, size - before, before).add_(grad.narrow(dim, 0, before))
        inner.narrow(dim, 0, after).add_(grad.narrow(dim, before + size, after))
        return inner, None, None, None


def source_index(size: int, before: int, after: int, mode: str, device: torch.device) -> Tensor:
    """For each position of a padded axis the position in the map that it repeats; a reflection goes to and fro."""
    index = torch.arange(-before, size + after, device=device)
    if mode == "circular":
        return index % size
    if mode == "replicate" or size == 1:
        return index.clamp(0, size - 1)
    period = 2 * (size - 1)
    return torch.minimum(index % period, period - index % period)


class PaddedConv2d(nn.Conv2d):
    """A stride-1 convolution of odd kernel size whose output has its input's size, in any padding mode."""

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, padding_mode: str, bias: bool = True):
        one_of("padding_mode", padding_mode, PADDING_MODES)
        super().__init__(channels_in, channels_out, kernel_size, bias=bias)
        self.border = padding_mode

    def forward(self, x: Map) -> Filtered:
        """(N, C_in, H, W) to (N, C_out, H, W)."""
        p = self.kernel_size[0] // 2
        if self.border == "zeros":  # inside the convolution, which saves the padded copy
            return F.conv2d(x, self.weight, self.bias, padding=p)
        return F.conv2d(pad(x, (p, p, p, p), self.border), self.weight, self.bias)
