"""Learning rates over the steps of a training."""

from collections.abc import Callable
from math import cos, pi

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from unetlift.recipe import OptimiserConfig

SHAPES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: (1 + cos(pi * done)) / 2,  # SGDR, arXiv 1608.03983, one period
    "poly": lambda done: (1 - done) ** 0.9,  # DeepLab, arXiv 1606.00915
    "constant": lambda done: 1.0,
}
"""The rate after a share of the steps, as a share of the highest."""


def factor(schedule: str, warmup: float, step: int, steps: int) -> float:
    """Of the highest rate at step 0 to `steps`: it rises over the first `warmup` of them in a line, then takes its shape."""
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return SHAPES[schedule](min(1.0, (step - rising) / max(1, steps - rising)))


def make_schedule(optimizer: Optimizer, config: OptimiserConfig, steps: int) -> LRScheduler:
    """A schedule to be stepped after each of so many steps."""
    if config.schedule == "onecycle":  # Smith, arXiv 1708.07120
        return OneCycleLR(optimizer, [group["lr"] for group in optimizer.param_groups], total_steps=max(2, steps))
    return LambdaLR(optimizer, lambda step: factor(config.schedule, config.warmup, step, steps))
