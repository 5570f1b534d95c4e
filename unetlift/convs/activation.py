"""Activations by name, two of them free of aliasing: pointwise on a finer grid, then low-pass (arXiv 2303.08085)."""

from collections.abc import Callable
from math import pi, sqrt

import torch
from torch import nn

from unetlift.convs.spectrum import format_of, resample
from unetlift.types import Field


class Filtered(nn.Module):
    """Any pointwise activation between an ideal upsampling and an ideal low-pass back to the map's size.

    A pointwise function makes frequencies that the map's grid cannot hold; there they would pose as low ones, and
    depend on where the grid lies. On the finer grid they have room, and the low-pass removes them.

    Exactly so for polynomials: the n samples of an axis carry frequencies up to K <= (n - 1)/2, a polynomial of degree
    D makes frequencies up to DK, and on m samples frequency f poses as m - f. None lands on the K that stay if
    m - DK > K. For degree 2 that is m >= 3n/2, the 3/2 rule of pseudo-spectral methods, and a doubled grid gives the
    same numbers; such a layer commutes with every sub-pixel circular shift to rounding. Anything with a kink, ReLU too,
    makes all frequencies, and follows a shift the better the finer the grid. The map's own Nyquist frequency is dropped
    (see `resample`).

    Args:
        inner: pointwise; it may work in place.
        samples: of the finer grid for every two of the map's along an axis, at least 2.
    """

    def __init__(self, inner: nn.Module, samples: int = 4):
        super().__init__()
        self.inner, self.samples = inner, samples

    def forward(self, x: Field) -> Field:
        """(N, C, *size) to the same shape, dtype and memory format, any size.

        The finer map is of the plain format, in which the FFT works, and of float32 at least.
        """
        size = tuple(x.shape[2:])
        finer = tuple((length * self.samples + 1) // 2 for length in size)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        active = self.inner(resample(wide, finer, memory_format=torch.contiguous_format))
        return resample(active, size, memory_format=format_of(x)).to(x.dtype)


class Polynomial(nn.Module):
    """a + bx + cx^2 with a, b, c learned for every channel, as in the paper.

    They start at (q, 1/2, q) with q = 1/(2 sqrt(2 pi)): of all such polynomials the nearest to ReLU for a standard
    normal x (the first three terms of ReLU's Hermite series), which is about what a normalisation hands on. Its mean
    square is 1/4 + 3/(4 pi) = 0.489 where ReLU's is 1/2, so an initialisation made for ReLU fits.

    Args:
        channels: of the map.
    """

    def __init__(self, channels: int):
        super().__init__()
        q = 1 / (2 * sqrt(2 * pi))
        self.coefficients = nn.Parameter(torch.tensor([q, 0.5, q]).repeat(channels, 1).T.contiguous())  # (3, C)

    def forward(self, x: Field) -> Field:
        """(N, C, *size) to the same."""
        constant, slope, curve = self.coefficients.to(x.dtype).unflatten(1, (-1, *[1] * (x.ndim - 2))).unbind()
        return torch.addcmul(constant, x, torch.addcmul(slope, x, curve))


ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "relu": lambda channels: nn.ReLU(inplace=True),
    "filtered-relu": lambda channels: Filtered(nn.ReLU(inplace=True)),
    "filtered-poly": lambda channels: Filtered(Polynomial(channels), samples=3),
}
"""What a network may put after its normalisations: by name, built for a number of channels."""
