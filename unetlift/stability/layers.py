"""How far the features inside a network are from moving with the picture, layer by layer (arXiv 1904.11486)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetlift.errors import UsageError, one_of
from unetlift.shifts import Fraction, Shift, split
from unetlift.stability.frames import Comparison, compare
from unetlift.stability.measure import Conditions
from unetlift.types import Map

CHUNK = 32
"""Channels that are brought to the frame's size at once, where the move is no whole number of pixels."""


class Placed(Protocol):
    """A map that knows where it lies on the picture, such as `UNet.features` gives.

    Attributes:
        map: (1, C, h, w).
        stride: of its samples, in pixels.
        offset: (1, 2), the pixel of sample (0, 0), circularly; None for (0, 0).
    """

    map: Map
    stride: int
    offset: Tensor | None


Features = Callable[[Map], Mapping[str, Map | Placed]]
"""(1, C, H, W) to maps (1, C', h, w) by name: a network's own way of showing its layers."""


@dataclass(frozen=True)
class LayerDistances:
    """Mean cosine distance between F(S x), moved back, and F(x), for each layer and shift.

    Attributes:
        layers: their names, in the order in which they are computed.
        strides: of each, in pixels of the frame.
        dys: the shifts' rows, ascending, with 0.
        dxs: their columns.
        values: (layers, dys, dxs) in float64, from 0 to 2; 0 where nothing moves, NaN where nothing was measured.
    """

    layers: tuple[str, ...]
    strides: tuple[int, ...]
    dys: tuple[float, ...]
    dxs: tuple[float, ...]
    values: NDArray[np.float64]

    def mean(self, layer: str) -> float:
        """Over all shifts but none."""
        return float(np.nanmean(self._moved(layer)))

    def worst(self, layer: str) -> float:
        """The largest over all shifts."""
        return float(np.nanmax(self._moved(layer)))

    def _moved(self, layer: str) -> NDArray[np.float64]:
        one_of("layer", layer, self.layers)
        grid = self.values[self.layers.index(layer)].copy()
        grid[self.dys.index(0), self.dxs.index(0)] = np.nan
        return grid


def distances(
    features: Features,
    images: Iterable[Map],
    mode: str = "crop",
    max_shift: int = 8,
    *,
    shifts: Sequence[Shift | Fraction] | None = None,
    multiple: int = 1,
    margin: int = 16,
    resampling: str = "lanczos",
) -> LayerDistances:
    """Compares the features of a moved picture with the moved features, in every layer of a network.

    Every pixel of the frame shows the sample of the layer that covers it (nearest neighbour): of a plain map of h rows
    pixel i of H shows row floor(i h / H); a `Placed` one counts its stride from its offset. The features of the moved
    picture are moved back by that many pixels, and each valid pixel's vector over the channels is compared by its angle:
    1 - cos, where two zero vectors are equal and one is as far as a right angle. With a single channel it is a matter of
    signs. A layer of stride s on a fixed grid can be exact for shifts by multiples of s at best.

    Args:
        features: (1, C, H, W) to maps (1, C', h, w) by name, the same names each time: a `UNet.features`, or
            `hooked(module)`.
        images: pictures of (1, C, H, W), one at a time.
        mode: roll, crop or subpixel; see `measure`, also for what follows.
        max_shift: the largest shift in pixels.
        shifts: by default every 1 to max_shift pixels, or 1/8 to 7/8, along a row, a column and the diagonal;
            `unetlift.shifts.square(max_shift)` fills the whole grid.
        multiple: frames are cut to multiples of it.
        margin: pixels left out along the frame in crop and subpixel.
        resampling: how features are moved back by parts of a pixel.

    Returns:
        The mean over the valid pixels, then over the pictures.

    Raises:
        UsageError: a name is unknown, a number out of range, there are no pictures, one is too small, or the layers are
            not the same each time.
    """
    conditions = Conditions(mode, max_shift, shifts, multiple, margin, resampling=resampling)
    total, strides, count = np.zeros(()), {}, 0
    for x in images:
        frame = conditions.frame(x)
        still = _ask(features, frame, strides)
        strides = strides or {name: _stride(layer, frame) for name, layer in still.items()}
        moves = [_Move(frame.shape[2:], shift, conditions) for shift in conditions.every]
        table = [move.row(still, _ask(features, conditions.frame(x, move.shift), strides)) for move in moves]
        total, count = total + np.array(table), count + 1
    if not count:
        raise UsageError("There are no pictures to measure layers on; give at least one.")
    return _grid(total / count, strides, conditions.every)


def _grid(table: NDArray[np.float64], strides: Mapping[str, int], shifts: Sequence[Shift | Fraction]) -> LayerDistances:
    """Rows of shifts, columns of layers, as a grid of shifts for each layer."""
    dys, dxs = (tuple(sorted({0, *(shift[axis] for shift in shifts)})) for axis in (0, 1))
    values = np.full((len(strides), len(dys), len(dxs)), np.nan)
    values[:, dys.index(0), dxs.index(0)] = 0
    for row, (dy, dx) in zip(table, shifts, strict=True):
        values[:, dys.index(dy), dxs.index(dx)] = row
    return LayerDistances(tuple(strides), tuple(strides.values()), dys, dxs, values)


def _ask(features: Features, x: Map, known: Mapping[str, int]) -> Mapping[str, Map | Placed]:
    if x.shape[0] != 1:
        raise UsageError(f"A picture of shape {tuple(x.shape)} was given; each is one alone, (1, C, H, W).")
    with torch.no_grad():
        found = features(x)
    if known and tuple(found) != tuple(known):
        raise UsageError(f"The layers are not the same each time: first {', '.join(known)}; then {', '.join(found)}.")
    return found


def _stride(layer: Map | Placed, frame: Map) -> int:
    return max(1, round(frame.shape[2] / layer.shape[2])) if isinstance(layer, Tensor) else layer.stride


class _Place(NamedTuple):
    """Which samples a frame's pixels show: every layer of a stride shares one, unless phases chose otherwise."""

    height: int
    width: int
    stride: int | None
    row: int = 0
    column: int = 0

    def numbers(self, size: Sequence[int]) -> Tensor:
        """(H, W), the flat number of the sample that each pixel shows."""
        rows = self._shown(size[0], self.height, self.row)
        return rows[:, None] * self.width + self._shown(size[1], self.width, self.column)

    def _shown(self, length: int, samples: int, first: int) -> Tensor:
        pixels = torch.arange(length)
        if self.stride is None:
            return pixels * samples // length
        return ((pixels - first) // self.stride).clamp(max=samples - 1) % samples


def _placed(layer: Map | Placed) -> tuple[Map, _Place]:
    if isinstance(layer, Tensor):
        return layer, _Place(*layer.shape[2:], None)
    return layer.map, _Place(*layer.map.shape[2:], layer.stride, *(() if layer.offset is None else layer.offset[0].tolist()))


class _Move(NamedTuple):
    """One shift of one picture."""

    size: Sequence[int]
    shift: Shift | Fraction
    conditions: Conditions

    def back(self, still: Map, moved: Map) -> Comparison:
        """The second beside the first, both of the frame's size."""
        return compare(still, moved, self.shift, self.conditions.mode, self.conditions.margin, self.conditions.resampling)

    def row(self, still: Mapping[str, Map | Placed], moved: Mapping[str, Map | Placed]) -> list[float]:
        """Every layer's distance."""
        pairs = cache(self.pairs)  # most layers share their places
        found = []
        for name in still:
            (first, here), (second, there) = _placed(still[name]), _placed(moved[name])
            whole = not any(split(self.shift)[1])
            found.append(_by_samples(first, second, *pairs(here, there)) if whole else self.by_pixels(first, second, here, there))
            if not isfinite(found[-1]):
                raise UsageError(f"The layer {name} has numbers that are not finite, which have no distance.")
        return found

    def pairs(self, here: _Place, there: _Place) -> tuple[Tensor, Tensor, Tensor]:
        """The samples that meet where the pixels do, and at how many pixels: far fewer pairs than pixels in deep layers."""
        first, second = (place.numbers(self.size)[None, None].double() for place in (here, there))
        met = self.back(first, second)
        samples = there.height * there.width
        numbers, counts = (met.still * samples + met.moved_back)[..., met.valid].long().unique(return_counts=True)
        return numbers // samples, numbers % samples, counts

    def by_pixels(self, first: Map, second: Map, here: _Place, there: _Place) -> float:
        """A move by parts of a pixel mixes neighbours, so that every pixel has a vector of its own."""
        sums: Tensor | float = 0.0
        for one, other in zip(_wide(first).split(CHUNK, 1), _wide(second).split(CHUNK, 1), strict=True):
            met = self.back(one.flatten(2)[..., here.numbers(self.size)], other.flatten(2)[..., there.numbers(self.size)])
            a, b = met.still, met.moved_back
            sums = sums + torch.stack([(a * b).sum(1), a.square().sum(1), b.square().sum(1)])
        return _angles(*sums[..., met.valid].flatten(1)).mean().item()


def _by_samples(first: Map, second: Map, i: Tensor, j: Tensor, counts: Tensor) -> float:
    a, b = (_wide(map)[0].flatten(1).T.contiguous() for map in (first, second))  # a row of channels for each sample
    angles = _angles((a[i] * b[j]).sum(1), a.square().sum(1)[i], b.square().sum(1)[j])
    return ((angles * counts).sum() / counts.sum()).item()


def _wide(map: Map) -> Map:
    return map.to("cpu", torch.promote_types(map.dtype, torch.float32))


def _angles(products: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """1 - cos of pairs of vectors, by their product and their squares."""
    squares = first.double() * second.double()
    cosines = torch.where(squares == 0, (first == second).double(), products.double() / squares.sqrt())
    return (1 - cosines).clamp(min=0)
