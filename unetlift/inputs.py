"""Pixels as networks take them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_tensor(pixels: NDArray[np.float32], mean: float | tuple[float, ...], std: float | tuple[float, ...]) -> Tensor:
    """(H, W, C) floats of 0..1 to a normalised (C, H, W) tensor whose memory is laid out channels last.

    Args:
        pixels: the picture.
        mean: subtracted: a number, or C of them.
        std: what it is then divided by, likewise.
    """
    normalised = (np.ascontiguousarray(pixels) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return torch.from_numpy(normalised).permute(2, 0, 1)
