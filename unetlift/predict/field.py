"""How far from a border a network's answer still depends on what lies beyond it: measured, by asking with and without."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from unetlift.types import Map

EXACT = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Of the output's range: two answers that differ by less are one. Noise moves a trained network's answer some hundred times
less than pictures do, so that what is lost in the roundings of float32 can be seen in them: double precision tells more."""
CLOSE = 2**-9
"""Probabilities, or brightnesses, that differ by less are one in 8 bit."""
FARTHEST = 256
"""Margin in pixels beyond which tiles would be mostly margin."""


class Field(NamedTuple):
    """What was measured.

    Attributes:
        exact: the smallest margin in pixels, a multiple of the stride, from which on a part's answer is the whole's but for
            rounding; None where none of up to `FARTHEST` is.
        close: the smallest from which on probabilities or brightnesses differ by less than `CLOSE`; or the farthest.
        rest: by how much they differ at most beyond the margin that is taken.
        margin: what tiles leave out at their inner borders: the exact one, or twice the close one where there is none, since
            influence falls off with distance as fast again, and pictures have more of it than noise.
    """

    exact: int | None
    close: int
    rest: float
    margin: int


def measure_field(ask: Callable[[Map], tuple[Map, Map]], channels: int, stride: int) -> Field:
    """Compares a network's answer to a picture with its answers to both halves, cut across and along.

    The picture is noise of every size, from single pixels to larger than the field, of normalised pictures' strength.

    Args:
        ask: (1, C, H, W) normalised to the network's output, in double precision where it can, and what it means, in float32.
        channels: of the picture.
        stride: of the network; halves begin at a multiple of it.
    """
    farthest = -(-FARTHEST // stride) * stride
    half, breadth = 2 * (farthest + stride), -(-64 // stride) * stride + stride
    outputs, answers, reach = torch.zeros(farthest + stride), torch.zeros(farthest + stride), 0.0
    for axis in (3, 2):
        x = _probe(channels, breadth, 2 * half).transpose(axis, 3)
        wholes = ask(x)
        reach = max(reach, (wholes[0].max() - wholes[0].min()).item())
        for side in (0, half):
            for found, whole, alone in zip((outputs, answers), wholes, ask(x.narrow(axis, side, half)), strict=True):
                off = (whole.narrow(axis, side, half) - alone).abs().transpose(axis, 3).amax((0, 1, 2)).cpu()
                for profile in (off, off.flip(0)):  # either end: a circular border makes a cut of the probe's own end
                    torch.maximum(found, profile[: len(found)], out=found)
    beyond_outputs, beyond_answers = (found.flip(0).cummax(0).values.flip(0).tolist() for found in (outputs, answers))
    margins = range(0, farthest + 1, stride)
    exact = next((m for m in margins if beyond_outputs[m] <= EXACT[wholes[0].dtype] * reach), None)
    close = next((m for m in margins if beyond_answers[m] < CLOSE), farthest)
    margin = min(2 * close, farthest) if exact is None else exact
    return Field(exact, close, beyond_answers[margin], margin)


def _probe(channels: int, height: int, width: int) -> Map:
    generator, x = torch.Generator().manual_seed(0), torch.zeros(1, channels, height, width)
    scales = (1, 2, 4, 8, 16, 32, 64)
    for scale in scales:
        coarse = torch.randn(1, channels, -(-height // scale), -(-width // scale), generator=generator)
        x += coarse.repeat_interleave(scale, 2).repeat_interleave(scale, 3)[..., :height, :width]
    return x / len(scales) ** 0.5 * 1.5
