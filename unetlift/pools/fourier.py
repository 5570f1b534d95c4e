"""Ideal resampling as a pair of pools, which follows every sub-pixel shift (arXiv 2303.08085, 2603.11323)."""

from unetlift.convs.spectrum import resample
from unetlift.pools.base import Down, Trace, Up
from unetlift.types import Band, Field


class FourierDown(Down):
    """The low-pass that keeps all a map of half the size can hold and nothing that would alias, then every second sample.

    For even sizes it commutes with every circular shift S_d, d any fraction of a pixel: down(S_d x) = S_{d/2} down(x).
    That is why the coarse grid's Nyquist frequency is dropped with those above it, where the coarse size is even: a wave
    of two pixels a period cannot follow a shift. The map is taken as periodic, whatever the convolutions' padding is. An
    odd one first gains a row or column, as in every pool, and then follows a shift but for that seam.

    Args:
        grid: `CORNER` or `CENTRE`, exact on both: half a pixel is a phase ramp in the spectrum.
        axes: 1, 2 or 3.
    """

    def __init__(self, grid: float, axes: int = 2):
        super().__init__()
        self.half_pixels, self.axes = int(2 * grid), axes

    def reduce(self, x: Field) -> tuple[Band, Trace]:
        return resample(x, tuple(length // 2 for length in x.shape[2:]), self.half_pixels), Trace()


class FourierUp(Up):
    """Trigonometric interpolation: up(S_{d/2} y) = S_d up(y). In 2-D it is four times FourierDown's adjoint, on the corner grid.

    Its samples sit on the even pixels. It drops the Nyquist frequency of an even coarse size, which could not follow a
    shift and is all of y that `down(up(y))` does not give back.
    """

    def expand(self, y: Band, trace: Trace) -> Field:
        return resample(y, tuple(2 * length for length in y.shape[2:]))
