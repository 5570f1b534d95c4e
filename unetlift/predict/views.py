"""Test-time views of a picture: mirrored, resized and shifted, whose answers are moved back and averaged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from torch.nn import functional as F

from unetlift.convs import pad
from unetlift.errors import UsageError, one_of
from unetlift.types import Map

PLACINGS = ("reflect", "circular")
SCALES = (1 / 16, 16.0)
"""The smallest and the largest scale."""


class Turn(NamedTuple):
    """A picture turned: first rows and columns exchanged, then some axes mirrored."""

    exchanged: bool
    mirrored: tuple[int, ...]

    def there(self, x: Map) -> Map:
        """(N, C, H, W) turned."""
        return (x.transpose(2, 3) if self.exchanged else x).flip(self.mirrored)

    def back(self, y: Map) -> Map:
        """The inverse."""
        y = y.flip(self.mirrored)
        return y.transpose(2, 3) if self.exchanged else y


FLIPS: dict[str, tuple[Turn, ...]] = {
    "none": (Turn(False, ()),),
    "horizontal": (Turn(False, ()), Turn(False, (3,))),
    "four": tuple(Turn(False, axes) for axes in ((), (3,), (2,), (2, 3))),
    "eight": tuple(Turn(exchanged, axes) for exchanged in (False, True) for axes in ((), (3,), (2,), (2, 3))),
}
"""As it is; left and right mirrored; also upside down and the half turn; also the quarter turns and both diagonals."""


@dataclass(frozen=True)
class Views:
    """How often a network is asked about one picture: once for every scale, flip and shift.

    `spin` is cycle spinning (Coifman and Donoho 1995, Translation-invariant de-noising): N x N shifts by 0 to N - 1
    rows and columns. With N a multiple of a network's stride, every place that the network's grid can have is asked as
    often as every other, and the mean follows each shift of the picture as a network without a grid would.

    Attributes:
        flips: none, horizontal, four or eight; see `FLIPS`.
        scales: factors of height and width, 1/16 to 16. A scaled picture's size is rounded to whole pixels.
        spin: N; 1 is none.
        placing: reflect puts N - 1 reflected pixels or fewer above and to the left, so that every view sees the whole
            picture; circular rolls it, for networks with circular padding on sizes that are multiples of their stride.

    Raises:
        UsageError: a name or number is unknown or out of range.
    """

    flips: str = "none"
    scales: tuple[float, ...] = (1.0,)
    spin: int = 1
    placing: str = "reflect"

    def __post_init__(self) -> None:
        one_of("flips", self.flips, FLIPS)
        one_of("placing", self.placing, PLACINGS)
        least, most = SCALES
        wrong = [scale for scale in self.scales if not least <= scale <= most]
        if wrong or not self.scales:
            raise UsageError(f"scales has {wrong[0] if wrong else 'nothing'}; it wants one or more factors from {least:g} to {most:g}.")
        if self.spin < 1:
            raise UsageError(f"spin is {self.spin}; it is a whole number from 1 on.")

    @property
    def calls(self) -> int:
        """How often the network is asked about one picture."""
        return len(self.scales) * len(FLIPS[self.flips]) * self.spin**2

    @property
    def pixels(self) -> float:
        """How many pixels the network sees for each of the picture's, without those that shifts put around it."""
        return math.fsum(scale**2 for scale in self.scales) * len(FLIPS[self.flips]) * self.spin**2

    @property
    def reach(self) -> int:
        """Pixels along the frame in which the mean answers to made-up pixels, beyond the network's own field."""
        return self.spin - 1 if self.placing == "reflect" else 0

    def __call__(self, function: Callable[[Map], Map], x: Map) -> Map:
        """The mean of a function's answers to all views, each moved back; summed in one order, with one answer kept.

        Args:
            function: (N, C, H, W) to (N, K, H, W), of any size.
            x: (N, C, H, W).

        Returns:
            (N, K, H, W); with a single plain view the function's own answer.
        """
        if self == Views(placing=self.placing):
            return function(x)
        total = 0.0
        for scale in self.scales:
            size = [max(1, round(length * scale)) for length in x.shape[2:]]
            total = total + _resized(self._sum(function, _resized(x, size)), list(x.shape[2:]))
        return total / self.calls

    def _sum(self, function: Callable[[Map], Map], x: Map) -> Map:
        """Of the answers to every flip and shift."""
        total = 0.0
        for turn, (down, right) in product(FLIPS[self.flips], self._shifts()):
            total = total + turn.back(self._moved_back(function, turn.there(x), down, right))
        return total

    def _shifts(self) -> Iterator[tuple[int, int]]:
        return product(range(self.spin), repeat=2)

    def _moved_back(self, function: Callable[[Map], Map], x: Map, down: int, right: int) -> Map:
        if self.placing == "circular":
            return function(x.roll((down, right), (2, 3))).roll((-down, -right), (2, 3))
        return function(pad(x, (right, 0, down, 0), "reflect"))[..., down:, right:]


def _resized(x: Map, size: list[int]) -> Map:
    """Bilinear; where it shrinks over as large a neighbourhood as it has to, so that nothing is skipped."""
    return x if list(x.shape[2:]) == size else F.interpolate(x, size, mode="bilinear", antialias=True)
