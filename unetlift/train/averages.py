"""A moving average of a network's weights."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential moving average of weights and statistics, or None for a decay of 0.

    While few steps are done it follows more quickly: decay is at most (1 + n) / (10 + n) after n of them.
    """
    if not decay:
        return None

    @torch.no_grad()
    def towards(average: list[Tensor], now: list[Tensor], steps: Tensor) -> None:
        share = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        for kept, new in zip(average, now, strict=True):
            kept.lerp_(new, share) if kept.is_floating_point() else kept.copy_(new)

    average = AveragedModel(model, multi_avg_fn=towards, use_buffers=True)
    return average.eval().requires_grad_(False)
