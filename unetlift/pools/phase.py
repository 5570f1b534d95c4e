"""Adaptive phase: each sample's own grid, so that pooling follows every shift exactly (arXiv 2011.14214)."""

import torch
from torch import Tensor

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
    wide = x.detach().to(torch.promote_types(x.dtype, torch.float32))  # half precision would make ties
    energy = wide.square().sum(1).reshape(n, height // 2, 2, width // 2, 2).sum((1, 3))
    winner = energy.flatten(1).argmax(1)
    return torch.stack((winner // 2, winner % 2), 1)


class _RollEach(torch.autograd.Function):
    """A permutation of pixels, whose gradient is the inverse permutation: one gather either way, no scatter."""

    @staticmethod
    def forward(ctx, x: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(shift)
        n, _, height, width = x.shape
        sample = torch.arange(n, device=x.device)[:, None, None]
        rows = (torch.arange(height, device=x.device)[None, :, None] - shift[:, 0, None, None]) % height
        columns = (torch.arange(width, device=x.device)[None, None, :] - shift[:, 1, None, None]) % width
        moved = x.permute(0, 2, 3, 1)[sample, rows, columns].permute(0, 3, 1, 2)
        return moved if x.is_contiguous(memory_format=torch.channels_last) else moved.contiguous()

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (shift,) = ctx.saved_tensors
        return _RollEach.apply(grad, -shift), None


def roll_each(x: Map, shift: Phase) -> Map:
    """Moves each sample's content circularly by its own (rows, columns)."""
    return _RollEach.apply(x, shift)


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
