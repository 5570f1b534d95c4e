"""Surfaces, light and noise for drawn pictures."""

import numpy as np
from common import Pixels
from numpy.typing import NDArray


def smooth(rng: np.random.Generator, size: int, cells: int) -> NDArray[np.float64]:
    """(size, size) of 0..1 that changes over so many cells: values on a grid, smoothly interpolated."""
    grid = rng.random((cells + 1, cells + 1))
    at = (np.arange(size) + 0.5) / size * cells
    cell, part = at.astype(int), at % 1
    part = part * part * (3 - 2 * part)
    columns = grid[:, cell] * (1 - part) + grid[:, cell + 1] * part
    return columns[cell] * (1 - part[:, None]) + columns[cell + 1] * part[:, None]


def texture(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """(size, size) of 0..1 with coarse and fine grain."""
    octaves = [(2, 0.5), (6, 0.25), (16, 0.15), (size // 2, 0.1)]
    return sum(weight * smooth(rng, size, min(cells, size // 2)) for cells, weight in octaves)


def finish(rng: np.random.Generator, picture: NDArray[np.float64]) -> Pixels:
    """A camera's noise over (H, W, 3) of 0..1, and 8 bit."""
    noisy = picture + rng.normal(0, rng.uniform(0.01, 0.04), picture.shape)
    return np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)
