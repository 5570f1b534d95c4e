"""How much a picture's answer in tiles differs from its answer as a whole, near the seams and elsewhere."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unetlift.errors import UsageError
from unetlift.images import Page
from unetlift.predict.tiles import Planned, Tiled
from unetlift.tiling import Tiling

if TYPE_CHECKING:
    from unetlift.predict.predictor import Predictor

NEAR = 8
"""Pixels to either side of a seam that count as near it."""


class Difference(NamedTuple):
    """Between two answers, probabilities or brightnesses, over some pixels.

    Attributes:
        largest: difference.
        psnr: in dB for a range of 1; infinite where both are the same.
        agreement: share of the pixels of the same label; of pictures, those that are the same in 8 bit.
        pixels: how many there are.
    """

    largest: float
    psnr: float
    agreement: float
    pixels: int


class Seam(NamedTuple):
    """What `seam` measures.

    Attributes:
        near: within `NEAR` pixels of a seam.
        elsewhere: on all other pixels.
        tiles: how many there are.
        margin: that was left out along the picture's border.
    """

    near: Difference
    elsewhere: Difference
    tiles: int
    margin: int


def seam(predictor: "Predictor", page: Page, tiling: Tiling, margin: int = 0) -> Seam:
    """Asks about a picture as a whole and in tiles; it has to fit into the memory.

    Args:
        predictor: the network.
        page: the picture.
        tiling: how it is cut up.
        margin: along the picture's border so many pixels do not count.

    Raises:
        UsageError: the tiling makes no seams in this picture, or the margin leaves nothing.
    """
    planned = predictor.plan(page, tiling)
    if not isinstance(planned, Tiled) or planned.tiles == 1:
        raise UsageError(f"A picture of {page.width} x {page.height} is one tile; give a smaller tile.")
    if min(page.height, page.width) <= 2 * margin:
        raise UsageError(f"margin is {margin}; it leaves nothing of a picture of {page.width} x {page.height}.")
    whole = _values(predictor.plan(page, Tiling(tile=max(page.height, page.width))))
    tiled, near = _values(planned), np.zeros((page.height, page.width), bool)
    for axis, places in enumerate(planned.seams):
        for at in places:
            near[(slice(None),) * axis + (slice(max(0, at - NEAR), at + NEAR),)] = True
    inner = np.zeros_like(near)
    inner[margin : page.height - margin, margin : page.width - margin] = True
    parts = [_difference(whole[:, part], tiled[:, part], predictor.info.answers) for part in (near & inner, ~near & inner)]
    return Seam(*parts, planned.tiles, margin)


def _values(planned: Planned) -> NDArray[np.float32]:
    return np.concatenate([band["all"] for band in planned.bands(lambda values: {"all": values.transpose(1, 2, 0)})]).transpose(2, 0, 1)


def _difference(one: NDArray[np.float32], other: NDArray[np.float32], answers: str) -> Difference:
    off = np.abs(one - other)
    error = float(np.square(off, dtype=np.float64).mean()) if off.size else 0.0
    same = one.argmax(0) == other.argmax(0) if answers == "labels" else (np.rint(one * 255) == np.rint(other * 255)).all(0)
    psnr = -10 * np.log10(error) if error else np.inf
    return Difference(float(off.max(initial=0)), float(psnr), float(same.mean()) if same.size else 1.0, same.size)
