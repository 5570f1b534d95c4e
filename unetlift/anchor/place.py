"""Places a picture so that its anchor falls on the network's sampling grid, and moves the answer back."""

from typing import NamedTuple

import torch
from torch import Tensor

from unetlift.convs.padded import pad
from unetlift.errors import UsageError, one_of
from unetlift.shifts import Fraction, by_fraction

PLACINGS = ("reflect", "replicate", "surround", "context", "circular")

SURROUND = 32
"""Pixels on every side, at least, with the placing of that name; benchmarks/moving.md compares it with more and fewer."""

BORDERS = {"reflect": "reflect", "context": "reflect", "replicate": "replicate", "surround": "replicate"}
"""What each puts where the picture ends."""


class Frame(NamedTuple):
    """A window of a larger picture: its first row and column, its height and width."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, picture: Tensor) -> Tensor:
        """The window of (..., H, W)."""
        return picture[..., self.top : self.top + self.height, self.left : self.left + self.width]


class Placement(NamedTuple):
    """How a picture was placed; what is needed to move the network's answer back.

    Attributes:
        down: rows from the frame's top to the placed picture's.
        right: columns from the frame's left to the placed picture's.
        height: of the frame.
        width: of the frame.
        placed: height and width of the placed picture.
        circular: the content was rolled; otherwise pixels were put around it.
        fraction: rows and columns that the content was moved by beyond that, each between -1 and 1.
    """

    down: int
    right: int
    height: int
    width: int
    placed: tuple[int, int]
    circular: bool
    fraction: tuple[float, float] = (0.0, 0.0)

    def restore(self, output: Tensor) -> Tensor:
        """The (..., H, W) answer to the placed picture, where the picture itself lies.

        Raises:
            UsageError: the answer has another size than the placed picture: the function has to keep height and width.
        """
        if tuple(output.shape[-2:]) != self.placed:
            (height, width), got = self.placed, " x ".join(str(size) for size in reversed(output.shape[-2:]))
            raise UsageError(f"The function answered a picture of {width} x {height} with {got}; anchoring wants its input's size.")
        if self.circular:
            back = output.roll((-self.down, -self.right), (-2, -1))
        else:
            back = output[..., self.down : self.down + self.height, self.right : self.right + self.width]
        return by_fraction(back, Fraction(-self.fraction[0], -self.fraction[1]), self._border) if any(self.fraction) else back

    @property
    def _border(self) -> str:
        return "circular" if self.circular else "reflect"


def align(
    image: Tensor,
    anchor: tuple[int, int],
    stride: int,
    placing: str = "reflect",
    *,
    frame: Frame | None = None,
    multiple: int | None = None,
    fraction: tuple[float, float] = (0.0, 0.0),
) -> tuple[Tensor, Placement]:
    """Places a picture so that the anchor falls on a multiple of the stride; a new tensor, the picture stays as it is.

    Args:
        image: (N, C, H, W) floats.
        anchor: row and column in the picture; it may lie outside.
        stride: of the network's grid.
        placing: `circular` rolls the anchor to one fixed place near the middle; the others put the fewest pixels
            above and to the left: `reflect` mirrors the picture, `replicate` repeats its outermost pixels, `context`
            takes the real neighbours of `frame` as far as there are any and mirrors beyond. `surround` repeats the
            outermost pixels at least `SURROUND` times on every side, which keeps the network's own padding away.
        frame: with `context`, the window of `image` that the answer is wanted for.
        multiple: pixels are also put below and to the right until height and width are multiples of this; by
            default of the stride, which every network takes.
        fraction: rows and columns from the anchor to the point itself; the content is resampled so that the point
            falls on the grid exactly.

    Returns:
        The placed (N, C, H', W'), and how to move an answer back.

    Raises:
        UsageError: the placing is unknown, the frame is missing, out of place or not inside, or the stride is below 1.
    """
    one_of("placing", placing, PLACINGS)
    height, width = image.shape[-2:]
    multiple = stride if multiple is None else multiple
    for what, value in (("stride", stride), ("multiple", multiple)):
        if value < 1:
            raise UsageError(f"{what} is {value}; it is a whole number from 1 on.")
    if (frame is None) == (placing == "context"):
        raise UsageError(f"The placing {placing!r} came {'without' if frame is None else 'with'} a frame; only 'context' takes one.")
    frame = frame or Frame(0, 0, height, width)
    if not (0 <= frame.top <= height - frame.height and 0 <= frame.left <= width - frame.width and min(frame[2:]) > 0):
        raise UsageError(f"{frame} does not lie in a picture of {width} x {height}.")
    if any(fraction):
        image = by_fraction(image, Fraction(-fraction[0], -fraction[1]), "circular" if placing == "circular" else "reflect")
    moved = (-fraction[0], -fraction[1])
    if placing == "circular":
        down, right = (size // 2 // stride * stride - at for size, at in zip((height, width), anchor, strict=True))
        # One layout, which a roll of its own can change: with another one a network sums in another order.
        rolled = image.roll((down, right), (-2, -1)).clone(memory_format=torch.contiguous_format)
        return rolled, Placement(down, right, height, width, (height, width), True, moved)
    down, right = (lead(at - first, stride, placing) for first, at in zip(frame[:2], anchor, strict=True))
    below, after = (trail(before + size, multiple, placing) for before, size in zip((down, right), frame[2:], strict=True))
    rows = (frame.top - down, frame.top + frame.height + below)
    columns = (frame.left - right, frame.left + frame.width + after)
    placed = (rows[1] - rows[0], columns[1] - columns[0])
    return _cut(image, rows, columns, BORDERS[placing]), Placement(down, right, frame.height, frame.width, placed, False, moved)


def lead(at: int, stride: int, placing: str) -> int:
    """How many pixels are put before a picture's first for its place `at` to fall on the grid."""
    least = _least(placing)
    return least + (-at - least) % stride


def trail(length: int, multiple: int, placing: str) -> int:
    """How many are put behind so many for the network to take them."""
    least = _least(placing)
    return least + (-length - least) % multiple


def _least(placing: str) -> int:
    return SURROUND if placing == "surround" else 0


def _cut(image: Tensor, rows: tuple[int, int], columns: tuple[int, int], border: str) -> Tensor:
    """Rows and columns of a picture, which may lie beyond its border."""
    spans = [(max(0, first), min(size, last)) for (first, last), size in zip((rows, columns), image.shape[-2:], strict=True)]
    (top, bottom), (left, right) = spans
    pads = (left - columns[0], columns[1] - right, top - rows[0], rows[1] - bottom)
    inside = image[..., top:bottom, left:right]
    return pad(inside, pads, border) if any(pads) else inside.clone(memory_format=torch.preserve_format)
