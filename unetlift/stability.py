"""How little a function's output changes, other than by moving, when its input moves."""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import ModuleType

import torch

from unetlift.errors import UsageError, one_of
from unetlift.shifts import Fraction, Shift, by_fraction, eighths, roll, star, translate, window, without_margin
from unetlift.types import Map

MODES = ("roll", "crop", "subpixel")
CEILING = 160.0
"""PSNR in dB beyond which float32 can tell no difference; an equal answer counts as this much."""

Function = Callable[[Map], Map]
"""(N, C, H, W) pictures to (N, K, H, W) outputs: class probabilities, or pictures."""


@dataclass(frozen=True)
class Record:
    """One comparison: picture number `image`, moved by (dy, dx)."""

    image: int
    dy: float
    dx: float
    psnr: float
    agreement: float


@dataclass(frozen=True)
class StabilityReport:
    """All comparisons of one function, with what makes their figures comparable.

    Attributes:
        mode: `roll` (circular), `crop` (a window moves over a larger picture) or `subpixel` (the picture is resampled).
        max_shift: in pixels; `subpixel` moves by less than one.
        range: R, the nominal range of the output.
        margin: pixels left out along the frame.
        records: one a picture and shift.
    """

    mode: str
    max_shift: int
    range: float
    margin: int
    records: tuple[Record, ...]

    @property
    def mean(self) -> float:
        """Mean shift PSNR in dB over pictures and shifts."""
        return fmean(r.psnr for r in self.records)

    @property
    def worst(self) -> float:
        """The lowest shift PSNR in dB: a mean hides the jump."""
        return min(r.psnr for r in self.records)

    @property
    def agreement(self) -> float:
        """Mean share of pixels whose most probable class stays."""
        return fmean(r.agreement for r in self.records)

    def by_shift(self) -> dict[float, float]:
        """Mean shift PSNR in dB for each distance max(|dy|, |dx|)."""
        groups: dict[float, list[float]] = {}
        for r in self.records:
            groups.setdefault(max(abs(r.dy), abs(r.dx)), []).append(r.psnr)
        return {distance: fmean(values) for distance, values in sorted(groups.items())}


@dataclass(frozen=True)
class Comparison:
    """f(S x), moved back to where x is, beside f(x), and where the two are comparable."""

    still: Map
    moved_back: Map
    valid: torch.Tensor

    def psnr(self, output_range: float = 1.0) -> float:
        """10 log10(R^2 / mean (f(S x) - S f(x))^2) over the valid pixels, at most `CEILING` dB."""
        difference = (self.still.double() - self.moved_back.double())[..., self.valid]
        error = difference.square().mean().item()
        floor = output_range**2 / 10 ** (CEILING / 10)
        return float(10 * torch.log10(torch.tensor(output_range**2 / max(error, floor), dtype=torch.float64)))

    def agreement(self) -> float:
        """Share of valid pixels with the same largest channel."""
        same = self.still.argmax(1) == self.moved_back.argmax(1)
        return same[..., self.valid].double().mean().item()


def trim(x: Map, multiple: int) -> Map:
    """The middle of a picture whose height and width are multiples of `multiple`."""
    height, width = ((size // multiple) * multiple for size in x.shape[2:])
    if not height or not width:
        raise UsageError(f"A picture of {x.shape[3]} x {x.shape[2]} is smaller than the network's stride {multiple}.")
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[..., top : top + height, left : left + width]


def still_frame(x: Map, mode: str, max_shift: int, multiple: int) -> Map:
    """What the function sees before anything moves: whole for `roll`, a window for `crop`."""
    return trim(x, multiple) if mode == "roll" else window(_scene(x, max_shift, multiple), Shift(0, 0), max_shift)


def _scene(x: Map, max_shift: int, multiple: int) -> Map:
    """A picture trimmed so that windows with a border of `max_shift` have sizes that are multiples."""
    height, width = x.shape[2:]
    if min(height, width) < 2 * max_shift + multiple:
        least = f"{2 * max_shift + multiple} pixels: a window of {multiple} that moves by {max_shift}"
        raise UsageError(f"A picture of {width} x {height} is too small; each side needs {least}.")
    frame = trim(x[..., max_shift : x.shape[2] - max_shift, max_shift : x.shape[3] - max_shift], multiple)
    top, left = (x.shape[2] - frame.shape[2]) // 2 - max_shift, (x.shape[3] - frame.shape[3]) // 2 - max_shift
    return x[..., top : top + frame.shape[2] + 2 * max_shift, left : left + frame.shape[3] + 2 * max_shift]


def moved_frame(x: Map, shift: Shift | Fraction, mode: str, max_shift: int, multiple: int) -> Map:
    """What the function sees after the content moved by `shift`."""
    if mode == "roll":
        return roll(trim(x, multiple), shift).map
    scene = _scene(x, max_shift, multiple)
    if mode == "subpixel":  # resampled before it is cut, so that no border is made up
        return window(by_fraction(scene, shift, "reflect"), Shift(0, 0), max_shift)
    return window(scene, shift, max_shift)


def compare(still: Map, moved: Map, shift: Shift | Fraction, mode: str, margin: int) -> Comparison:
    """Moves the second output back and marks the pixels that both outputs show, less the margin."""
    back = type(shift)(-shift.dy, -shift.dx)
    if mode == "roll":
        return Comparison(still, *roll(moved, back))
    there = without_margin(torch.ones(still.shape[2:], dtype=torch.bool, device=still.device), margin)
    if mode == "subpixel":
        return Comparison(still, by_fraction(moved, back, "reflect"), _some(there, margin, still))
    moved_back, _ = translate(moved, back)
    also_there, _ = translate(there[None, None].float(), back)
    return Comparison(still, moved_back, _some(there & (also_there[0, 0] > 0), margin, still))


def _some(valid: torch.Tensor, margin: int, frame: Map) -> torch.Tensor:
    if not valid.any():
        raise UsageError(f"A margin of {margin} pixels leaves nothing of a {frame.shape[3]} x {frame.shape[2]} frame to compare.")
    return valid


def measure(
    function: Function,
    images: Iterable[Map],
    mode: str = "crop",
    max_shift: int = 8,
    *,
    shifts: Sequence[Shift | Fraction] | None = None,
    multiple: int = 1,
    margin: int = 16,
    output_range: float = 1.0,
) -> StabilityReport:
    """Compares f(S x) with S f(x) for pictures x and shifts S.

    Args:
        function: (1, C, H, W) to (1, K, H, W); any callable.
        images: pictures of (1, C, H, W), of any sizes.
        mode: `roll` (circular), `crop` (a window moves over the picture: what a camera does), or `subpixel` (the
            picture moves by parts of a pixel, and the answer is resampled back, which bounds the figure: sharp answers
            do not survive two resamplings).
        max_shift: the largest shift in pixels.
        shifts: by default every 1 to max_shift pixels, or 1/8 to 7/8, along a row, a column and the diagonal.
        multiple: frames are cut to multiples of it (a network's stride), without which no grid can be exact.
        margin: pixels left out along the frame in `crop` and `subpixel`, where the network sees its own padding.
        output_range: R of the PSNR; 1 for probabilities and pictures in 0..1.

    Returns:
        One record a picture and shift.

    Raises:
        UsageError: the mode is unknown, there are no pictures, or one is too small.
    """
    one_of("mode", mode, MODES)
    if max_shift < 1:
        raise UsageError(f"max_shift is {max_shift}; it is a whole number from 1 on.")
    if shifts is None:
        shifts = eighths() if mode == "subpixel" else star(max_shift)
    records = []
    for number, x in enumerate(images):
        still = function(still_frame(x, mode, max_shift, multiple))
        for shift in shifts:
            moved = function(moved_frame(x, shift, mode, max_shift, multiple))
            comparison = compare(still, moved, shift, mode, margin)
            records.append(Record(number, *shift, comparison.psnr(output_range), comparison.agreement()))
    if not records:
        raise UsageError("There are no pictures to measure stability on; give at least one.")
    return StabilityReport(mode, max_shift, output_range, 0 if mode == "roll" else margin, tuple(records))


class _Face(ModuleType):
    """Lets `unetlift.stability(function, images)` be the function although `unetlift.stability` is this module."""

    def __call__(self, *arguments, **keys) -> StabilityReport:
        return measure(*arguments, **keys)


sys.modules[__name__].__class__ = _Face
