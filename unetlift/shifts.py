"""The shifts that stability is measured under; each says which pixels of its result are the scene's own."""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import torch

from unetlift.convs.padded import pad
from unetlift.convs.spectrum import sample_at
from unetlift.errors import UsageError, one_of
from unetlift.types import Features, Map


class Shift(NamedTuple):
    """How far the content moves: down and to the right, in pixels."""

    dy: int
    dx: int


class Fraction(NamedTuple):
    """How far the content moves: down and to the right, in pixels and parts of a pixel."""

    dy: float
    dx: float


LOBES = 4
"""Of the windowed sinc that resamples, on either side: it reaches so many pixels far."""


def split(shift: Shift | Fraction) -> tuple[Shift, Fraction]:
    """The whole pixels of a shift, and what is left, each of it below 1 in size and of the same sign."""
    whole = Shift(int(shift.dy), int(shift.dx))
    return whole, Fraction(shift.dy - whole.dy, shift.dx - whole.dx)


class Moved(NamedTuple):
    """A moved map and, as (H, W) of bool, where it shows content of the map it came from."""

    map: Map
    valid: torch.Tensor


def roll(x: Map, shift: Shift) -> Moved:
    """Moves (N, C, H, W) circularly: what leaves on one side comes back on the other, so every pixel is valid."""
    return Moved(x.roll((shift.dy, shift.dx), (2, 3)), torch.ones(x.shape[2:], dtype=torch.bool, device=x.device))


def translate(x: Map, shift: Shift) -> Moved:
    """Moves (N, C, H, W) inside its frame: zeros come in, and are not valid."""
    height, width = x.shape[2:]
    moved, valid = torch.zeros_like(x), torch.zeros(height, width, dtype=torch.bool, device=x.device)
    to_rows, to_columns = _inside(shift.dy, height), _inside(shift.dx, width)
    from_rows, from_columns = _inside(-shift.dy, height), _inside(-shift.dx, width)
    moved[..., to_rows, to_columns] = x[..., from_rows, from_columns]
    valid[to_rows, to_columns] = True
    return Moved(moved, valid)


def _inside(offset: int, size: int) -> slice:
    return slice(max(0, offset), max(0, min(size, size + offset)))


def window(x: Map, shift: Shift, border: int) -> Features:
    """What a camera sees of the scene (N, C, H, W): a frame `border` pixels smaller on every side, its content moved.

    Raises:
        UsageError: the shift is larger than the border, or the border leaves nothing.
    """
    height, width = x.shape[2:]
    if max(abs(shift.dy), abs(shift.dx)) > border:
        raise UsageError(f"The shift ({shift.dy}, {shift.dx}) is larger than the window's border of {border} pixels.")
    if min(height, width) <= 2 * border:
        raise UsageError(f"A picture of {width} x {height} is too small for windows that move by {border} pixels.")
    rows = slice(border - shift.dy, height - border - shift.dy)
    columns = slice(border - shift.dx, width - border - shift.dx)
    return x[..., rows, columns]


def by_fraction(x: Map, shift: Fraction, border: str, resampling: str = "lanczos") -> Map:
    """Moves (N, C, H, W) by parts of a pixel.

    Args:
        x: (N, C, H, W) floats.
        shift: down and to the right, each above -1 and below 1.
        border: what lies beyond the frame, as in `convs.padded.pad`: reflect, replicate or circular.
        resampling: one of `RESAMPLINGS`.
    """
    one_of("resampling", resampling, RESAMPLINGS)
    if resampling == "fourier":
        return _by_spectrum(x, shift, border)
    reach, kernel = RESAMPLINGS[resampling]
    for axis, distance in ((2, shift.dy), (3, shift.dx)):
        if not distance:
            continue
        weights = kernel(torch.arange(-reach, reach + 1, device=x.device, dtype=torch.float64) + distance)
        weights = (weights / weights.sum()).tolist()
        wide = pad(x, (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0), border)
        x = sum(weight * wide.narrow(axis, tap, x.shape[axis]) for tap, weight in enumerate(weights) if weight)
    return x


def _lanczos(taps: torch.Tensor) -> torch.Tensor:
    """The windowed sinc of 4 lobes."""
    return torch.where(taps.abs() < LOBES, torch.sinc(taps) * torch.sinc(taps / LOBES), 0.0)


def _bicubic(taps: torch.Tensor) -> torch.Tensor:
    """Keys' cubic convolution with a = -1/2, the one of third order (IEEE ASSP 1981)."""
    near, far = taps.abs(), taps.abs()
    inside, beyond = (1.5 * near - 2.5) * near**2 + 1, ((-0.5 * far + 2.5) * far - 4) * far + 2
    return torch.where(near <= 1, inside, torch.where(far < 2, beyond, 0.0))


def _nearest(taps: torch.Tensor) -> torch.Tensor:
    """The pixel that is nearest; a half is nearer to the one that lies below or to the right."""
    return ((taps > -0.5) & (taps <= 0.5)).double()


def _by_spectrum(x: Map, shift: Fraction, border: str) -> Map:
    """A phase ramp over the picture's period; one that does not wrap around is mirrored first, so that nothing jumps."""
    height, width = x.shape[2:]
    if border != "circular":
        x = torch.cat((x, x.flip(2)), 2)
        x = torch.cat((x, x.flip(3)), 3)
    return sample_at(x, (-shift.dy, -shift.dx))[..., :height, :width]


RESAMPLINGS: dict[str, tuple[int, Callable[[torch.Tensor], torch.Tensor]]] = {
    "lanczos": (LOBES, _lanczos),
    "bicubic": (2, _bicubic),
    "nearest": (1, _nearest),
    "fourier": (0, torch.sinc),
}
"""How far each reaches, and its weight at a distance in pixels; `fourier` takes the spectrum, which is a sinc without an end."""


def without_margin(valid: torch.Tensor, margin: int) -> torch.Tensor:
    """A mask less `margin` pixels along the frame, where a network sees its own padding."""
    if not margin:
        return valid
    inner = torch.zeros_like(valid)
    inner[margin:-margin, margin:-margin] = valid[margin:-margin, margin:-margin]
    return inner


def star(max_shift: int) -> list[Shift]:
    """Every shift of 1 to `max_shift` pixels along a row, a column and the diagonal."""
    return [Shift(dy * k, dx * k) for k in range(1, max_shift + 1) for dy, dx in ((0, 1), (1, 0), (1, 1))]


def eighths() -> list[Fraction]:
    """Every shift of 1/8 to 7/8 of a pixel along a row, a column and the diagonal."""
    return [Fraction(dy * k / 8, dx * k / 8) for k in range(1, 8) for dy, dx in ((0, 1), (1, 0), (1, 1))]


def square(max_shift: int) -> list[Shift]:
    """Every shift of up to `max_shift` pixels along both axes, but for none at all."""
    reach = range(-max_shift, max_shift + 1)
    return [Shift(dy, dx) for dy, dx in product(reach, reach) if dy or dx]


def scattered(max_shift: int, count: int, seed: int) -> list[Shift]:
    """So many of them by chance, all different, in the order drawn.

    Raises:
        UsageError: there are not so many.
    """
    every = square(max_shift)
    if not 1 <= count <= len(every):
        raise UsageError(f"{count} random shifts are wanted; of up to {max_shift} pixels there are 1 to {len(every)}.")
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed))
    return [every[place] for place in order[:count].tolist()]
