"""Padding of one, two or three axes, for maps smaller than the pad too, that keeps the memory format it is given."""

from collections.abc import Sequence

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
    if mode == "circular" and all(max(before, after) <= x.shape[axis] for axis, before, after in axes):
        return _joined(x, axes) if torch.compiler.is_compiling() else _Wrap.apply(x, axes)
    if mode == "circular" or (mode == "reflect" and any(max(before, after) >= x.shape[axis] for axis, before, after in axes)):
        for axis, before, after in reversed(axes):
            x = take(x, axis, source_index(x.shape[axis], before, after, mode, x.device))
        return x
    return prolong(x, pads) if mode == "replicate" else F.pad(x, pads, mode=mode)


def prolong(x: Field, pads: Sequence[int]) -> Padded:
    """Repeats the outermost entries, as `pad` does for `replicate`; in a graph the pads may be unknown, 0 among them."""
    if not (torch.compiler.is_compiling() and torch.is_grad_enabled() and x.requires_grad):
        return F.pad(x, list(pads), mode="replicate")
    for number in range(len(pads) // 2):  # PyTorch 2.14's own gradient is laid out otherwise than it tells the compiler
        axis = x.ndim - 1 - number
        ends = x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)
        before, after = (
            end.expand([*x.shape[:axis], pads[2 * number + side], *x.shape[axis + 1 :]]) for side, end in enumerate(ends)
        )
        x = torch.cat([before, x, after], axis)
    return x


def take(x: Field, axis: int, index: Tensor) -> Padded:
    """The entries at `index` along `axis`, in x's memory format, which `index_select` itself would lose."""
    if x.stride(1) != 1:
        return x.index_select(axis, index)
    return x.movedim(1, -1).index_select(axis - 1, index).movedim(-1, 1)


def _joined(x: Tensor, axes: list[tuple[int, int, int]]) -> Tensor:
    """Circular padding for a graph, which would make a scatter of each write into a part of a map."""
    for axis, before, after in axes:
        ends = x.narrow(axis, x.shape[axis] - before, before), x.narrow(axis, 0, after)
        x = torch.cat((ends[0], x, ends[1]), axis)
    return x


class _Wrap(torch.autograd.Function):
    """Circular padding in one copy: PyTorch's own loses channels_last, forward and backward."""

    @staticmethod
    def forward(ctx, x: Tensor, axes: list[tuple[int, int, int]]) -> Tensor:
        ctx.axes = axes = [(axis, before, x.shape[axis], after) for axis, before, after in axes]
        size = list(x.shape)
        for axis, before, length, after in axes:
            size[axis] = before + length + after
        channels_last = x.stride(1) == 1
        padded = x.new_empty([size[0], *size[2:], size[1]]).movedim(-1, 1) if channels_last else x.new_empty(size)
        inner = padded
        for axis, before, length, _ in axes:
            inner = inner.narrow(axis, before, length)
        inner.copy_(x)
        for axis, before, length, after in axes:  # a corner is right once its last axis has been wrapped
            padded.narrow(axis, 0, before).copy_(padded.narrow(axis, length, before))
            padded.narrow(axis, before + length, after).copy_(padded.narrow(axis, before, after))
        return padded

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return _unwrap(grad, ctx.axes), None


def _unwrap(grad: Tensor, axes: list[tuple[int, int, int, int]]) -> Tensor:
    """Adds what lies beyond the borders to where it came from, axis by axis."""
    if not axes:
        return grad.clone()
    (axis, before, length, after), *others = axes
    inner = _unwrap(grad.narrow(axis, before, length), others)
    if before:
        inner.narrow(axis, length - before, before).add_(_unwrap(grad.narrow(axis, 0, before), others))
    if after:
        inner.narrow(axis, 0, after).add_(_unwrap(grad.narrow(axis, before + length, after), others))
    return inner


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
