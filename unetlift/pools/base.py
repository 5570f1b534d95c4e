"""What every pool has in common: a downsampler hands a trace to its upsampler, and neither remembers anything."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unetlift.convs.padded import prolong
from unetlift.errors import check_map
from unetlift.types import Band, Field, Given, Indices, Phase, Votes

CORNER, CENTRE = 0.0, 0.5
"""Where a level's coarse samples sit: on the even pixels, or in the middle of the 2x2 blocks."""


class Trace(NamedTuple):
    """What a downsampler hands to its upsampler.

    Attributes:
        size: of the downsampler's input, along its one, two or three axes.
        indices: positions of the 2x2 maxima, where the upsampler needs them.
        bands: every sub-band but the first (in 2-D: LH, HL, HH), where the upsampler needs them.
        phase: each sample's grid offset, where the phase is not fixed.
        votes: the phase once more as a one-hot choice that carries its gradient, while a learned phase trains.
        penalties: the two lifting regularisers (update, predict), while training.
    """

    size: tuple[int, ...] = ()
    indices: Indices | None = None
    bands: tuple[Band, ...] | None = None
    phase: Phase | None = None
    votes: Votes | None = None
    penalties: Tensor | None = None


class Down(nn.Module, ABC):
    """Halves every axis (rounded up) and says how in a trace."""

    axes = 2

    def forward(self, x: Given) -> tuple[Band, Trace]:
        """(N, C, *size) to (N, C, *ceil(size/2)) and the trace for the way up."""
        check_map(type(self).__name__, x, self.axes)
        size = x.shape[2:]
        odd = [end for length in reversed(size) for end in (0, (length + 1) // 2 * 2 - length)]
        if torch.compiler.is_compiling() or any(odd):  # asking a graph would make one for each parity of each axis
            x = prolong(x, odd)
        y, trace = self.reduce(x)
        return y, trace._replace(size=tuple(size))

    @abstractmethod
    def reduce(self, x: Field) -> tuple[Band, Trace]:
        """The same for even sizes: `forward` repeats an odd map's last row or column, which invents no value."""


class Up(nn.Module, ABC):
    """Doubles every axis, back to the size its trace remembers."""

    def forward(self, y: Band, trace: Trace) -> Field:
        """(N, C, *ceil(size/2)) and the trace of a (N, C, *size) map to (N, C, *size)."""
        x = self.expand(y, trace)
        if torch.compiler.is_compiling():  # a view would be contiguous or not by each axis's parity: a graph for each
            return F.pad(x, [end for axis in reversed(range(2, x.ndim)) for end in (0, trace.size[axis - 2] - x.shape[axis])])
        for axis, length in enumerate(trace.size, 2):
            x = x.narrow(axis, 0, length)
        return x

    @abstractmethod
    def expand(self, y: Band, trace: Trace) -> Field:
        """(N, C, *half) to (N, C, *(2 half))."""
