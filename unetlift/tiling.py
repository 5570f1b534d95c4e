"""How a picture too large for the memory is cut into tiles: where they begin, what is kept of them, how they join."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unetlift.errors import UsageError, one_of

BLENDS = ("centre", "linear", "hann")
SIDES = (512, 1536)
"""Between these lies a tile's side where none is asked for: eight margins, of which six are kept."""
RAMP = 32
"""Pixels over which two tiles are blended where no overlap is asked for; at least two strides."""


@dataclass(frozen=True)
class Tiling:
    """How pictures are cut into tiles.

    Attributes:
        tile: side in pixels, rounded up to the network's stride; 0 for one that suits the network.
        overlap: pixels that two neighbours share, rounded up to two strides; None for what the network's field asks for.
        blend: how they join: `centre` cuts in the overlap's middle; `linear` and `hann` leave out a margin at either
            tile's border and pass over from one to the other in between.
        whole: where `tile` is 0, a picture of up to so many pixels is asked about as a whole.

    Raises:
        UsageError: a number is below 0, the overlap leaves nothing of a tile, or the blend is unknown.
    """

    tile: int = 0
    overlap: int | None = None
    blend: str = "centre"
    whole: int = 2**21

    def __post_init__(self) -> None:
        for name in ("tile", "overlap", "whole"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise UsageError(f"{name} is {value}; it is a whole number of pixels from 0 on.")
        one_of("blend", self.blend, BLENDS)
        if self.tile and self.overlap is not None and self.overlap >= self.tile:
            raise UsageError(f"overlap is {self.overlap} and tile {self.tile}; a tile is larger than what it shares with its neighbour.")

    def is_whole(self, height: int, width: int) -> bool:
        """Whether a picture is asked about as a whole."""
        return max(height, width) <= self.tile if self.tile else height * width <= self.whole


class Cut(NamedTuple):
    """Sizes of tiles, in pixels: multiples of the stride.

    Attributes:
        side: of a tile.
        overlap: of two neighbours, at least: the last tile of an axis may share more. A multiple of two strides.
        ramp: over how much of the overlap's middle they are blended; 0 where it is cut.
    """

    side: int
    overlap: int
    ramp: int


def choose_cut(tiling: Tiling, stride: int, margin: int, around: int = 0) -> Cut:
    """The sizes that a network's tiles have.

    Args:
        tiling: what is asked for.
        stride: of the network.
        margin: how far from an inner border a tile's answer is not yet the whole picture's; rounded up to the stride.
        around: so many pixels are put around the picture; no tile may lie in them alone.

    Raises:
        UsageError: the tile is too small for the overlap, or for what is put around the picture.
    """
    ramp, margin = 0, _up(margin, stride)
    if tiling.overlap is None:
        ramp = 0 if tiling.blend == "centre" else _up(RAMP, 2 * stride)
        overlap = 2 * margin + ramp
    else:
        overlap = _up(tiling.overlap, 2 * stride)
        if tiling.blend != "centre":
            ramp = overlap - 2 * margin if overlap > 2 * margin else overlap // 4 * 2
    least = 4 * (around + stride) if around else 0
    side = _up(tiling.tile or max(min(max(4 * overlap, SIDES[0]), SIDES[1]), least), stride)
    ramp, smallest = min(ramp, (side - overlap) // 4 * 2), overlap + 2 * stride  # no pixel is in two ramps
    if side < smallest:
        why = f"the network's field asks for an overlap of {overlap}" if tiling.overlap is None else f"its overlap is {overlap}"
        raise UsageError(f"tile is {tiling.tile}, but {why}: give a tile of {smallest} or more, or a smaller overlap.")
    if side < least:
        raise UsageError(f"tile is {tiling.tile}, but {around} pixels are put around pictures: give {least} or more, or another placing.")
    return Cut(side, overlap, ramp)


class Piece(NamedTuple):
    """One tile's extent along an axis.

    Attributes:
        first: where it begins: a multiple of the stride.
        last: where it ends.
        start: from where on its answer counts.
        stop: up to where it does.
        before: over how much from `start` on the tile before passes over to this one.
        after: over how much up to `stop` this one passes over to the next.
    """

    first: int
    last: int
    start: int
    stop: int
    before: int
    after: int

    @property
    def own(self) -> tuple[int, int]:
        """What belongs to this tile alone: an axis's own parts follow one another, from a multiple of the stride to one."""
        return self.start + self.before // 2, self.stop - self.after // 2

    def within(self, low: int, high: int) -> "Piece":
        """The same, where nothing before `low` and from `high` on counts."""
        return self._replace(start=max(self.start, low), stop=min(self.stop, high))


def pieces(length: int, cut: Cut, stride: int, wraps: bool = False) -> list[Piece]:
    """The tiles along an axis, all of one size: the last one ends where the axis does, and is shorter by less than a stride.

    Args:
        length: of the axis.
        cut: the tiles' sizes.
        stride: of the network.
        wraps: the axis has no ends, so that tiles go on beyond them; its length is a multiple of the stride.
    """
    if length <= cut.side:
        return [Piece(0, length, 0, length, 0, 0)]
    beyond = cut.overlap // 2 if wraps else 0
    end = length + beyond
    last = _up(end + beyond - cut.side, stride) - beyond
    firsts = [*range(-beyond, last, cut.side - cut.overlap), last]
    ends = [min(first + cut.side, end) for first in firsts]
    seams = [b + (a - b) // 2 // stride * stride for a, b in zip(ends[:-1], firsts[1:], strict=True)]
    half, parts = cut.ramp // 2, []
    for number, (start, stop) in enumerate(pairwise([0, *seams, length])):
        before, after = (0 if number == end else half for end in (0, len(seams)))
        parts.append(Piece(firsts[number], ends[number], start - before, stop + after, 2 * before, 2 * after))
    return parts


def ramp(length: int, blend: str) -> NDArray[np.float32]:
    """The weight of the tile that comes in, (length,), above 0 and below 1; the other tile has what is missing to 1."""
    steps = (np.arange(length) + 0.5) / max(length, 1)
    return (np.sin(steps * np.pi / 2) ** 2 if blend == "hann" else steps).astype(np.float32)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
