"""SSIM (Wang et al. 2004) between two answers, in double precision: where nothing varies, float32 loses the variance."""

import torch
from torch import Tensor

from unetlift.types import Map

WINDOW = 11
"""Side in pixels of the Gaussian window."""
SIGMA = 1.5

LUMINANCE, CONTRAST = 0.01, 0.03
"""The authors' constants, as shares of the range."""


def ssim_map(first: Map, second: Map, output_range: float) -> Tensor:
    """SSIM of each window that lies inside two (N, C, H, W): (N, H - 10, W - 10), the mean over channels."""
    one, other = first.double(), second.double()
    maps = torch.cat((one, other, one.square() + other.square(), one * other))
    mean, other_mean, squares, products = _windowed(maps).split(len(one))
    luminance, contrast = ((share * output_range) ** 2 for share in (LUMINANCE, CONTRAST))
    means, powers = mean * other_mean, mean.square() + other_mean.square()
    likeness = (2 * means + luminance) * (2 * (products - means) + contrast)
    return (likeness / ((powers + luminance) * (squares - powers + contrast))).mean(1)


def _windowed(x: Map) -> Map:
    """Weighted means over the windows, along one axis after the other; sums of moved maps, since convolutions of doubles are slow."""
    weights = torch.exp(-0.5 * ((torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2) / SIGMA) ** 2)
    first, *others = (weights / weights.sum()).tolist()
    for axis in (2, 3):
        size = x.shape[axis] - WINDOW + 1
        mean = first * x.narrow(axis, 0, size)
        for place, weight in enumerate(others, 1):
            mean.add_(x.narrow(axis, place, size), alpha=weight)
        x = mean
    return x
