"""The objects of a label picture, numbered and measured while the picture comes in bands from top to bottom."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from io import StringIO

import numpy as np
from numpy.typing import NDArray

from unetlift.errors import UsageError

Numbers = NDArray[np.int64]
Transform = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): a pixel corner (row, col) lies at x = a * col + b * row + c, y = d * col + e * row + f."""

FOUR, EIGHT = 0, 1
"""How far runs of neighbouring rows may lie apart and yet touch: sides alone, or corners too."""

_CHUNK = 2**20
"""Pixels joined at once: noise makes a run of every pixel, and a run takes a few hundred bytes on its way."""

_SUMS = 3
"""Columns of a piece that add up (area, rows, columns); of the others the smallest counts."""


@dataclass(frozen=True, slots=True)
class Object:
    """One 8-connected region of one class; lengths in pixels, `y` and `x` count from the middle of the first pixel.

    `map_area`, `map_x` and `map_y` are in the units of the picture's map, or None where it has none.
    """

    id: int
    class_index: int
    name: str
    area: int
    y: float
    x: float
    top: int
    left: int
    height: int
    width: int
    touches_border: bool
    map_area: float | None = None
    map_x: float | None = None
    map_y: float | None = None


@dataclass(frozen=True)
class Runs:
    """Longest stretches of one class within a row, in reading order: row, first column, column after the last, class; each (n,)."""

    row: Numbers
    start: Numbers
    end: Numbers
    label: Numbers

    def __len__(self) -> int:
        return len(self.row)

    def where(self, kept: NDArray[np.bool_]) -> "Runs":
        """Those of a mask (n,)."""
        return Runs(self.row[kept], self.start[kept], self.end[kept], self.label[kept])

    def after(self, others: "Runs") -> "Runs":
        """These behind `others`, whose rows must lie above."""
        pairs = ((getattr(others, field.name), getattr(self, field.name)) for field in fields(self))
        return Runs(*map(np.concatenate, pairs))


def find_runs(labels: NDArray[np.integer], ignore: int | None = None) -> Runs:
    """The runs of (H, W) labels that are neither background (0) nor the value to ignore."""
    begins = np.ones(labels.shape, bool)
    begins[:, 1:] = labels[:, 1:] != labels[:, :-1]
    start = np.flatnonzero(begins)
    length = np.diff(start, append=labels.size)
    row, column = np.divmod(start, max(labels.shape[1], 1))
    label = labels.ravel()[start].astype(np.int64)
    return Runs(row, column, column + length, label).where((label != 0) & (label != ignore))


def touching(runs: Runs, reach: int) -> tuple[Numbers, Numbers]:
    """Pairs of runs of one class that touch, the first in the row above; `reach` is FOUR or EIGHT."""
    width = int(runs.end.max(initial=0)) + 2  # two columns of nothing: the end of a row is no neighbour of the next one's start
    starts, ends = runs.row * width + runs.start, runs.row * width + runs.end
    low = np.searchsorted(ends, starts + width - reach, side="right")
    count = np.maximum(np.searchsorted(starts, ends + width + reach, side="left") - low, 0)
    above = np.repeat(np.arange(len(runs)), count)
    below = np.arange(len(above)) - np.repeat(np.cumsum(count) - count - low, count)
    same = runs.label[above] == runs.label[below]
    return above[same], below[same]


def roots(count: int, one: Numbers, other: Numbers) -> Numbers:
    """For each of `count` nodes the smallest node of its group, where `one[i]` and `other[i]` are of one group."""
    parent = np.arange(count)
    while True:
        first, second = parent[one], parent[other]
        apart = first != second
        if not apart.any():
            return parent
        one, other, first, second = one[apart], other[apart], first[apart], second[apart]
        np.minimum.at(parent, np.maximum(first, second), np.minimum(first, second))
        while (parent[parent] != parent).any():
            parent = parent[parent]


class Objects:
    """Collects the objects of one picture; memory grows with their number alone, and does not depend on the picture's height."""

    def __init__(self, names: Sequence[str], transform: Transform | None = None, ignore: int | None = None):
        """Starts an empty picture.

        Args:
            names: of the classes, the background first.
            transform: of pixel corners to the map, if the picture has one.
            ignore: a label that is of no class, such as a nodata value.
        """
        self._names, self._transform, self._ignore = tuple(names), transform, ignore
        self._height, self._width = 0, None
        nothing = np.zeros(0, np.int64)
        self._last, self._owner = Runs(nothing, nothing, nothing, nothing), nothing  # runs of the row above, and whose they are
        self._open, self._closed = np.zeros((0, 9), np.int64), []  # those that the row above has pixels of; all others

    def add(self, band: NDArray[np.integer]) -> None:
        """Adds the next rows.

        Args:
            band: labels (rows, W), as wide as those before.

        Raises:
            UsageError: it has another shape, or labels that are no class.
        """
        check_labels(band, len(self._names), self._ignore)
        if self._width not in (None, band.shape[1]):
            raise UsageError(f"A band is {band.shape[1]} pixels wide; those before it were {self._width} wide.")
        self._width = band.shape[1]
        step = max(_CHUNK // max(self._width, 1), 1)
        for top in range(0, len(band), step):
            self._join(band[top : top + step])

    def _join(self, band: NDArray[np.integer]) -> None:
        runs, known = find_runs(band, self._ignore), len(self._open)
        both = runs.after(self._last)
        node = np.concatenate([self._owner, known + np.arange(len(runs))])
        above, below = touching(both, EIGHT)
        group = roots(known + len(runs), node[above], node[below])
        pieces = np.concatenate([self._open, _measure(runs, self._height, self._width)])
        merged, group = _merge(pieces, group)
        bottom = runs.row == len(band) - 1
        open_, self._owner = np.unique(group[known:][bottom], return_inverse=True)
        last = runs.where(bottom)
        self._last = Runs(np.full(len(last), -1), last.start, last.end, last.label)
        self._open = merged[open_]
        self._closed.append(np.delete(merged, open_, axis=0))
        self._height += len(band)

    def table(self) -> list[Object]:
        """The objects of all rows so far, by their first pixel in reading order: `id` counts from 1."""
        rows = np.concatenate([*self._closed, self._open])
        return [self._object(number, row) for number, row in enumerate(rows[np.argsort(rows[:, _SUMS])].tolist(), start=1)]

    def _object(self, number: int, piece: list[int]) -> Object:
        area, rows, columns, _, top, left, bottom, right, label = piece
        bottom, right = -bottom, -right
        border = top == 0 or left == 0 or bottom == self._height or right == self._width
        y, x = rows / area, columns / area
        size = (top, left, bottom - top, right - left)
        return Object(number, label, self._names[label], area, y, x, *size, border, *self._on_map(area, y, x))

    def _on_map(self, area: int, y: float, x: float) -> tuple[float, float, float] | tuple[()]:
        if self._transform is None:
            return ()
        a, b, c, d, e, f = self._transform
        column, row = x + 0.5, y + 0.5  # the transform counts from a pixel's corner
        return area * abs(a * e - b * d), a * column + b * row + c, d * column + e * row + f


def check_labels(labels: NDArray[np.integer], classes: int, ignore: int | None) -> None:
    """Raises UsageError unless `labels` are whole numbers (H, W) below `classes`, or the value to ignore."""
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise UsageError(f"Labels are {labels.dtype} of shape {labels.shape}; objects are found in whole numbers (H, W).")
    wrong = (labels < 0) | (labels >= classes)
    strange = labels[wrong if ignore is None else wrong & (labels != ignore)]
    if strange.size:
        raise UsageError(f"A label is {strange[0]}; the classes go from 0 to {classes - 1}.")


def _measure(runs: Runs, top: int, width: int) -> Numbers:
    """Each run as a piece (n, 9): area, sums of rows and columns; first pixel, top, left, -bottom, -right, class."""
    row, length = runs.row + top, runs.end - runs.start
    columns = length * (runs.start + runs.end - 1) // 2
    least = (row * width + runs.start, row, runs.start, -row - 1, -runs.end, runs.label)
    return np.stack([length, length * row, columns, *least], axis=1)


def _merge(pieces: Numbers, group: Numbers) -> tuple[Numbers, Numbers]:
    """Pieces of one group made one, in the groups' order; and for each piece where its group now is."""
    if not len(pieces):
        return pieces, group
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    pieces = pieces[order]
    sums, least = np.add.reduceat(pieces[:, :_SUMS], starts), np.minimum.reduceat(pieces[:, _SUMS:], starts)
    place = np.empty_like(order)
    place[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    return np.concatenate([sums, least], axis=1), place


def csv_text(objects: Sequence[Object]) -> str:
    """One line an object under a line of names; what a picture without a map does not have is empty."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(Object)]
    writer.writerow(names)
    writer.writerows([getattr(each, name) for name in names] for each in objects)
    return text.getvalue()
