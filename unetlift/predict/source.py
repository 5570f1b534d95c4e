"""Parts of a page as a network wants them, beyond its borders too."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from unetlift.convs.padded import source_index
from unetlift.images import Page, Picture
from unetlift.shifts import LOBES, Fraction, by_fraction
from unetlift.types import Map

Index = NDArray[np.int64]
"""For each row or column of a part, which one of the page it is."""

Prepare = Callable[[Picture], Map]
"""(H, W, C) pixels to (1, C, H, W), normalised."""


class Source:
    """A page's prepared pixels.

    Args:
        page: what is read, part by part.
        prepare: what is made of each part.
        moved: what the content is moved by first, in parts of a pixel.
    """

    def __init__(self, page: Page, prepare: Prepare, moved: Fraction = Fraction(0.0, 0.0)):
        self.page, self.prepare, self.moved = page, prepare, moved

    def window(self, top: int, left: int, height: int, width: int) -> Map:
        """A part of the page, (1, C, height, width)."""
        if not any(self.moved):
            return self.prepare(self.page.read(top, left, height, width))
        rows = beyond(np.arange(top - LOBES, top + height + LOBES), self.page.height, "reflect")
        columns = beyond(np.arange(left - LOBES, left + width + LOBES), self.page.width, "reflect")
        around = Source(self.page, self.prepare).gather(rows, columns)
        return by_fraction(around, self.moved, "reflect")[..., LOBES:-LOBES, LOBES:-LOBES]

    def gather(self, rows: Index, columns: Index) -> Map:
        """Any rows and columns; neighbouring ones are read together."""
        return torch.cat([torch.cat([self._box(r, c) for c in _runs(columns)], 3) for r in _runs(rows)], 2)

    def _box(self, rows: Index, columns: Index) -> Map:
        top, left = rows.min(), columns.min()
        box = self.window(int(top), int(left), int(rows.max() - top) + 1, int(columns.max() - left) + 1)
        for axis, index in ((2, rows - top), (3, columns - left)):
            if len(index) < 2 or (np.diff(index) != 1).any():
                box = box.index_select(axis, torch.from_numpy(index))
        return box


def missing(picture: Picture, nodata: float | None) -> NDArray[np.bool_] | None:
    """Where a (H, W, C) picture holds nothing, (H, W): all channels are `nodata`, or any is NaN where that is what stands for it.

    None where no value stands for it.
    """
    if nodata is None:
        return None
    return np.isnan(picture).any(2) if np.isnan(nodata) else (picture == nodata).all(2)


def beyond(index: Index, size: int, border: str) -> Index:
    """The rows of a page that stand for some that may lie beyond it: reflect or replicate."""
    low, high = min(0, int(index.min())), max(size - 1, int(index.max()))
    return source_index(size, -low, high + 1 - size, border, torch.device("cpu")).numpy()[index - low]


def _runs(index: Index) -> Iterator[Index]:
    """Parts whose entries lie beside one another."""
    return iter(np.split(index, np.flatnonzero(np.abs(np.diff(index)) > 1) + 1))
