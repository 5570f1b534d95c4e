"""What a function sees before and after a move, and where its two answers can be compared."""

from dataclasses import dataclass

import torch

from unetlift.errors import UsageError
from unetlift.shifts import Fraction, Shift, by_fraction, roll, split, translate, window, without_margin
from unetlift.types import Map

CEILING = 160.0
"""PSNR in dB beyond which float32 can tell no difference; an equal answer counts as this much."""


def decibels(error: float, output_range: float = 1.0) -> float:
    """PSNR in dB of a mean squared error, at most `CEILING`."""
    floor = output_range**2 / 10 ** (CEILING / 10)
    return float(10 * torch.log10(torch.tensor(output_range**2 / max(error, floor), dtype=torch.float64)))


@dataclass(frozen=True)
class Comparison:
    """f(S x), moved back to where x is, beside f(x), and where the two are comparable.

    Attributes:
        still: (N, K, H, W).
        moved_back: likewise.
        valid: (H, W) of bool.
    """

    still: Map
    moved_back: Map
    valid: torch.Tensor

    def psnr(self, output_range: float = 1.0) -> float:
        """10 log10(R^2 / mean (f(S x) - S f(x))^2) over the valid pixels, at most `CEILING` dB."""
        difference = (self.still.double() - self.moved_back.double())[..., self.valid]
        return decibels(difference.square().mean().item(), output_range)

    def agreement(self) -> float:
        """Share of valid pixels with the same largest channel."""
        same = self.still.argmax(1) == self.moved_back.argmax(1)
        return same[..., self.valid].double().mean().item()


def trim(x: Map, multiple: int) -> Map:
    """The middle of a picture whose height and width are multiples of `multiple`."""
    height, width = ((size // multiple) * multiple for size in x.shape[2:])
    if not height or not width:
        raise UsageError(f"A picture of {x.shape[3]} x {x.shape[2]} is smaller than the network's stride {multiple}.")
    return middle(x, height, width)


def middle(x: Map, height: int, width: int) -> Map:
    """The middle of a picture, of that size.

    Raises:
        UsageError: the picture is smaller.
    """
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    if min(top, left) < 0:
        raise UsageError(f"A picture of {x.shape[3]} x {x.shape[2]} is too small; frames of {width} x {height} are wanted.")
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
    return middle(x, frame.shape[2] + 2 * max_shift, frame.shape[3] + 2 * max_shift)


def moved_frame(x: Map, shift: Shift | Fraction, mode: str, max_shift: int, multiple: int, resampling: str = "lanczos") -> Map:
    """What the function sees after the content moved by `shift`, whose whole pixels are no more than `max_shift` in `crop`."""
    whole, rest = split(shift)
    if mode == "roll":
        x = trim(x, multiple)
        return roll(by_fraction(x, rest, "circular", resampling) if any(rest) else x, whole).map
    scene = _scene(x, max_shift, multiple)  # resampled before it is cut, so that no border is made up
    return window(by_fraction(scene, rest, "reflect", resampling) if any(rest) else scene, whole, max_shift)


def compare(
    still: Map, moved: Map, shift: Shift | Fraction, mode: str, margin: int, resampling: str = "lanczos"
) -> Comparison:
    """Moves the second output back and marks the pixels that both outputs show, less the margin."""
    whole, rest = split(type(shift)(-shift.dy, -shift.dx))
    if mode == "roll":
        return Comparison(still, *roll(by_fraction(moved, rest, "circular", resampling) if any(rest) else moved, whole))
    there = without_margin(torch.ones(still.shape[2:], dtype=torch.bool, device=still.device), margin)
    moved_back, _ = translate(by_fraction(moved, rest, "reflect", resampling) if any(rest) else moved, whole)
    also_there, _ = translate(there[None, None].float(), whole)
    valid = there & (also_there[0, 0] > 0)
    if not valid.any():
        raise UsageError(f"A margin of {margin} pixels leaves nothing of a {still.shape[3]} x {still.shape[2]} frame to compare.")
    return Comparison(still, moved_back, valid)
