"""What every pool has in common: a downsampler hands a trace to its upsampler, and neither remembers anything."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from unetlift.convs import pad
from unetlift.types import Band, Indices, Map, Phase

CORNER, CENTRE = 0.0, 0.5
"""Where a level's coarse samples sit: on the even pixels, or in the middle of the 2x2 blocks."""


class Trace(NamedTuple):
    """What a downsampler hands to its upsampler.

    Attributes:
        size: height and width of the downsampler's input.
        indices: positions of the 2x2 maxima, where the upsampler needs them.
        bands: the sub-bands LH, HL, HH, where the upsampler needs them.
        phase: each sample's grid offset, where the phase is adaptive.
        penalties: the two lifting regularisers (update, predict), while training.
    """

    size: tuple[int, int] = (0, 0)
    indices: Indices | None = None
    bands: tuple[Band, Band, Band] | None = None
    phase: Phase | None = None
    penalties: Tensor | None = None


class Down(nn.Module, ABC):
    """Halves height and width (rounded up) and says how in a trace."""

    def forward(self, x: Map) -> tuple[Band, Trace]:
        """(N, C, H, W) to (N, C, ceil(H/2), ceil(W/2)) and the trace for the way up."""
        height, width = x.shape[-2:]
        y, trace = self.reduce(pad(x, (0, width % 2, 0, height % 2), "replicate"))
        return y, trace._replace(size=(height, width))

    @abstractmethod
    def reduce(self, x: Map) -> tuple[Band, Trace]:
        """The same for even H and W: `forward` repeats an odd map's last row or column, which invents no value."""


class Up(nn.Module, ABC):
    """Doubles height and width, back to the size its trace remembers."""

    def forward(self, y: Band, trace: Trace) -> Map:
        """(N, C, ceil(H/2), ceil(W/2)) and the trace of a (N, C, H, W) map to (N, C, H, W)."""
        height, width = trace.size
        return self.expand(y, trace)[..., :height, :width]

    @abstractmethod
    def expand(self, y: Band, trace: Trace) -> Map:
        """(N, C, h, w) to (N, C, 2h, 2w)."""
