"""The same landmark for a picture that is read strip by strip: a point's strength depends on nothing but its surroundings."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetlift.anchor.landmark import REACH, Landmark, candidates, channel_sum, fraction_at, largest, runner_up, whole_numbers

PIXELS = 2**21
"""Of a strip, about."""
KEPT = (2 * REACH + 1) ** 2 + 1
"""Of each strip's points so many of the strongest are enough: one at least lies out of the strongest's surroundings."""

Read = Callable[[int, int], Tensor]
"""The rows of a picture from one up to another, (C, rows, W)."""


def landmark_in_strips(read: Read, height: int, width: int, pixels: int = PIXELS) -> Landmark | None:
    """What `landmark` finds in the whole picture, its confidence and fraction included; each row is read twice.

    Args:
        read: the rows from one up to another.
        height: of the picture.
        width: of the picture.
        pixels: that a strip has, about.

    Raises:
        UsageError: the picture holds values that are not finite.
    """
    scale = max((largest(channel_sum(read(top, bottom))) for top, bottom in _strips(0, height, width, pixels)), default=np.float32(0))
    found = []
    for top, bottom in _strips(REACH, height - REACH, width, pixels):
        _, places, strength = candidates(whole_numbers(channel_sum(read(top - REACH, bottom + REACH)), scale), "inside")
        strongest = np.lexsort((places, -strength))[:KEPT]
        found.append((places[strongest] + (top - REACH) * width, strength[strongest]))
    places, strength = (np.concatenate(parts) for parts in zip(*found, strict=True)) if found else (np.zeros(0, np.int64), np.zeros(0))
    best = strength.max(initial=0.0)
    if best <= 0:
        return None
    y, x = divmod(int(places[strength == best].min()), width)
    second = runner_up(places, strength, (y, x), (height, width), "inside")
    around, _, _ = candidates(whole_numbers(channel_sum(read(y - REACH, y + REACH + 1)), scale), "inside")
    return Landmark(y, x, float(1 - second / best), fraction_at(around, REACH, x))


def brightness_in_strips(read: Read, height: int, width: int, pixels: int = PIXELS) -> Tensor:
    """The sum of a picture's channels, (1, H, W): all that motion is measured by."""
    total: NDArray[np.float32] = np.empty((height, width), np.float32)
    for top, bottom in _strips(0, height, width, pixels):
        total[top:bottom] = channel_sum(read(top, bottom))
    return torch.from_numpy(total)[None]


def _strips(first: int, last: int, width: int, pixels: int) -> Iterator[tuple[int, int]]:
    rows = max(4 * REACH, pixels // width)
    return ((top, min(top + rows, last)) for top in range(first, last, rows))
