"""Adaptive phase: each sample's own grid, so that pooling follows every shift exactly (arXiv 2011.14214)."""

import torch
from torch import Tensor, nn

from unetlift.pools.base import Down, Trace, Up
from unetlift.types import Band, Map, Phase


def largest_phase(x: Map) -> Phase:
    """For each sample the row and column offset of the polyphase component of largest L2 norm.

    Args:
        x: (N, C, H, W) with even H and W.

    Returns:
        (N, 2), each 0 or 1.
    """
    n, _, height, width = x.shape
    wide = torch.promote_types(x.dtype, torch.float32)  # half precision would make ties
    energy = torch.linalg.vector_norm(x.detach(), dim=1, dtype=wide).square()  # reads x once, without a squared copy
    energy = energy.reshape(n, height // 2, 2, width // 2, 2).sum((1, 3))
    winner = energy.flatten(1).argmax(1)
    return torch.stack((winner // 2, winner % 2), 1)


class _RollEach(torch.autograd.Function):
    """A permutation of pixels, whose gradient is the inverse permutation: one gather either way, no scatter."""

    @staticmethod
    def forward(ctx, x: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(shift)
        n, channels, height, width = x.shape
        first = torch.arange(0, n * height, height, device=x.device)[:, None]
        rows = first + (torch.arange(height, device=x.device) - shift[:, :1]) % height
        columns = (torch.arange(width, device=x.device) - shift[:, 1:]) % width
        source = (rows * width)[:, :, None] + columns[:, None, :]  # one list of pixels is the fastest gather
        pixels = x.permute(0, 2, 3, 1).reshape(-1, channels).index_select(0, source.flatten())
        moved = pixels.reshape(n, height, width, channels).permute(0, 3, 1, 2)
        return moved if x.stride(1) == 1 else moved.contiguous()  # asked by stride, since a cropped map counts as neither

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (shift,) = ctx.saved_tensors
        return _RollEach.apply(grad, -shift), None


def roll_each(x: Map, shift: Phase) -> Map:
    """Moves each sample's content circularly by its own (rows, columns)."""
    return _RollEach.apply(x, shift)


def on_even_grid(pool: nn.Module) -> nn.Module:
    """The pool inside an adaptive one, which samples the even grid; any other pool as it is."""
    if isinstance(pool, AdaptiveDown):
        return pool.down
    return pool.up if isinstance(pool, AdaptiveUp) else pool


class AdaptiveDown(Down):
    """Any downsampler on the grid of largest norm: roll the map onto that grid, pool, keep the phase."""

    def __init__(self, down: Down):
        super().__init__()
        self.down = down

    def reduce(self, x: Map) -> tuple[Band, Trace]:
        phase = largest_phase(x)
        y, trace = self.down.reduce(roll_each(x, -phase))
        return y, trace._replace(phase=phase)


class AdaptiveUp(Up):
    """Any upsampler, then back by the phase that the way down chose (arXiv 2105.04040)."""

    def __init__(self, up: Up):
        super().__init__()
        self.up = up

    def expand(self, y: Band, trace: Trace) -> Map:
        return roll_each(self.up.expand(y, trace), trace.phase)
