"""Outlines of a label picture's objects along its pixels' sides: filled again, they are the same pixels.

Objects are 8-connected, as in the object table, and have its numbers. A polygon must not touch itself along the way, so an object
whose pixels meet at corners alone is as many polygons as it has 4-connected parts; where a part meets itself at a corner, the hole
between has a ring of its own. Hence every ring is simple, and two rings share single points at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetlift.objects import EIGHT, FOUR, Numbers, Object, Objects, Runs, find_runs, roots, touching

Part = list[Numbers]
"""The rings of one polygon, the outer one first; each (n, 2) of x, y in pixels from the picture's corner, its end not repeated."""

WINDOW = ((0, 0), (0, 1), (1, 0), (1, 1))
"""The four pixels about a corner of the pixel grid, by row and column."""


@dataclass(frozen=True, eq=False)
class Outline:
    """An object and its polygons.

    On screen, where y points down, an outer ring runs clockwise and a hole the other way; by the numbers, where y counts as up, it is
    the right-hand rule of RFC 7946.
    """

    object: Object
    parts: list[Part]


def outlines(labels: NDArray[np.integer], names: Sequence[str], ignore: int | None = None) -> list[Outline]:
    """Traces the objects of a whole picture.

    Args:
        labels: class indices (H, W), 0 for the background.
        names: of the classes, the background first.
        ignore: a label that is of no class.

    Returns:
        One outline an object, in the order of the object table; filled again, the polygons are its pixels.

    Raises:
        UsageError: labels are of another shape, or no class.
    """
    table = Objects(names, ignore=ignore)
    table.add(labels)
    found = [Outline(each, []) for each in table.table()]
    runs = find_runs(labels, ignore)
    part, whole = (np.unique(roots(len(runs), *touching(runs, reach)), return_inverse=True)[1] for reach in (FOUR, EIGHT))
    owner = np.zeros(len(found) and part.max() + 1, np.int64)
    owner[part] = whole
    for number, rings in zip(owner.tolist(), _trace(_painted(runs, part + 1, labels.shape)), strict=True):
        found[number].parts.append(rings)
    return found


def _painted(runs: Runs, values: Numbers, shape: tuple[int, int]) -> Numbers:
    """Each run's value at its pixels, and 0 elsewhere and for one pixel about the picture."""
    height, width = shape
    padded = np.zeros((height + 2, width + 2), np.int32)
    length = runs.end - runs.start
    first = (runs.row + 1) * (width + 2) + runs.start + 1
    pixel = np.repeat(first - np.cumsum(length) + length, length) + np.arange(length.sum())
    padded.ravel()[pixel] = np.repeat(values, length)
    return padded


def _corners(parts: Numbers) -> tuple[Numbers, Numbers]:
    """Where the rings turn, by the part that they bound: (n, 3) of part, row, column, sorted so; and (n,) neighbours up or down.

    Rings run along rows and columns in turn, so that along every row of a part its corners are the ends of one side after the other,
    and along every column too: the corner beside number i is i ^ 1. Two corners of a part at one point, where it meets itself, are
    given the sides about the pixel that is not its own, one each, since that makes two rings of what else would cross itself.
    """
    across, down = parts[:, 1:] == parts[:, :-1], parts[1:] == parts[:-1]
    falling, rising = parts[1:, 1:] == parts[:-1, :-1], parts[1:, :-1] == parts[:-1, 1:]
    found = []
    for lower, right in WINDOW:
        beside, over = across[lower : lower + len(falling)], down[:, right : right + falling.shape[1]]
        mine = parts[lower : lower + len(falling), right : right + falling.shape[1]]
        slanted = falling if lower == right else rising
        row, column = np.nonzero((beside == over) & ~(beside & slanted) & (mine > 0))
        found.append(np.stack([mine[row, column], row, column, np.full_like(row, lower), np.full_like(row, right)], axis=1))
    corners = np.concatenate(found)
    part, row, column, lower, _ = corners.T
    corners = corners[np.lexsort((lower, column, row, part))]
    part, row, column, _, right = corners.T
    order = np.lexsort((-right, row, column, part))
    beyond = np.empty_like(order)
    beyond[order[0::2]], beyond[order[1::2]] = order[1::2], order[0::2]
    return corners[:, :3], beyond


def _trace(parts: Numbers) -> list[Part]:
    """The rings of every 4-connected part 1, 2, ... of a padded picture: from its first corner in reading order the outer one."""
    corners, beyond = _corners(parts)
    points, owner, beyond = corners[:, 2:0:-1], corners[:, 0].tolist(), beyond.tolist()
    seen, found = bytearray(len(owner)), []
    for start, part in enumerate(owner):
        if seen[start]:
            continue
        outer = part > len(found)
        if outer:
            found.append([])
        ring, corner = [], start
        while not seen[corner]:
            other = corner ^ 1 if outer else beyond[corner]  # an outer ring sets out along its row, a hole's along its column
            ring += (corner, other)
            seen[corner] = seen[other] = 1
            corner = beyond[other] if outer else other ^ 1
        found[-1].append(points[ring])
    return found
