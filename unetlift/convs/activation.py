"""Activations by name, two of them free of aliasing: pointwise on a finer grid, then low-pass (arXiv 2303.08085)."""

from collections.abc import Callable
from math import sqrt

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

    They start as bx + c(x^2 - 1) with c = 1/20 and b such that the mean square is ReLU's 1/2 for a standard normal x, which
    is about what a normalisation hands on: so an initialisation made for ReLU fits. The start that is nearest to ReLU
    (c = 0.2, b = 1/2) squares all that lies beyond 2.5 standard deviations, which pictures are full of at their edges: layer
    upon layer the edges outgrow everything else, the normalisations make that small, and a deep network learns nothing.

    Args:
        channels: of the map.
    """

    def __init__(self, channels: int):
        super().__init__()
        curve = 0.05
        start = torch.tensor([-curve, sqrt(0.5 - 2 * curve**2), curve])  # 1, x and x^2; x and x^2 - 1 are orthogonal
        self.coefficients = nn.Parameter(start.repeat(channels, 1).T.contiguous())  # (3, C)

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
