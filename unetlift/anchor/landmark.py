"""Finds the point of a picture that its sampling grid is tied to, in a way that follows every shift exactly.

A landmark is a local extremum of the smoothed brightness; the strongest has the largest smaller principal curvature,
which blobs and corners have and edges have not. Everything up to the curvature is computed in whole numbers that
float32 holds exactly, so that a point's strength does not depend on where in the frame, or in which lane of the
processor, it was computed.
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetlift.errors import UsageError, one_of

BORDERS = ("inside", "wrap")
RADIUS = 3
"""Of the binomial smoothing (sigma 1.2). Compared with others, it flipped least often: benchmarks/anchor.md."""
REACH = RADIUS + 1
"""A point's strength depends on no pixel farther away, in rows or columns."""
_BINOMIAL = np.array([1, 6, 15, 20, 15, 6, 1], np.float32)  # sums to 2^6: 2^12 in both directions, which makes 2^24
_SQUARE = np.ones((3, 3), np.uint8)


class Landmark(NamedTuple):
    """A salient point of a picture.

    Attributes:
        y: its row.
        x: its column.
        confidence: 0 to 1: how far its strength is from that of the next best point, as a share of its own.
        fraction: rows and columns from (y, x) to the extremum between the pixels, each from -0.5 to 0.5.
    """

    y: int
    x: int
    confidence: float
    fraction: tuple[float, float] = (0.0, 0.0)


def landmark(image: Tensor | NDArray[np.floating], border: str = "inside") -> Landmark | None:
    """The most salient point of a picture.

    Args:
        image: (C, H, W) floats in any range; only the sum of the channels counts.
        border: `inside` looks at points whose surroundings lie in the frame, so that a window that moves over a
            scene gives them all the same strength (but for rounding, where the brightest pixel doubles); `wrap` takes
            the picture for a torus, as a roll does, and then the answer follows every roll, whatever the picture.

    Returns:
        The point, or None where there is none: under `wrap` only where the picture is constant.

    Raises:
        UsageError: the border is unknown, or the picture holds values that are not finite.
    """
    one_of("border", border, BORDERS)
    pixels = _array(image)
    brightness = grey(pixels)
    smooth, places, strength = candidates(brightness, border)
    best = strength.max(initial=0.0)
    if best > 0:
        equals = places[strength == best]
        at = equals[0] if border == "inside" or len(equals) == 1 else _among_equals(pixels, equals)
        y, x = divmod(int(at), brightness.shape[1])
        second = runner_up(places, strength, (y, x), brightness.shape, border)
        return Landmark(y, x, float(1 - second / best), fraction_at(smooth, y, x))
    if border == "inside" or (pixels == pixels[:, :1, :1]).all():
        return None
    return Landmark(*divmod(_among_equals(pixels, np.arange(brightness.size)), brightness.shape[1]), 0.0)


def candidates(brightness: NDArray[np.float32], border: str) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    """The smoothed picture with `REACH` more pixels all around, the flat positions of its local extrema, and their strengths."""
    if min(brightness.shape) <= 2 * REACH:
        return np.zeros((0, 0), np.float32), np.zeros(0, np.int64), np.zeros(0)
    smooth = _smooth(brightness, border)
    places = _extrema(smooth, border)
    return smooth, places, _smaller_curvature(smooth, places)


def _array(image: Tensor | NDArray[np.floating]) -> NDArray[np.floating]:
    if not isinstance(image, Tensor):
        return np.asarray(image)
    image = image.detach().cpu()
    return (image.float() if image.dtype is torch.bfloat16 else image).numpy()  # NumPy knows no bfloat16


def grey(image: Tensor | NDArray[np.floating]) -> NDArray[np.float32]:
    """The sum of the channels of (C, H, W) in whole numbers up to 2^12; scaled by a power of two, which rounds nothing.

    Raises:
        UsageError: the picture holds values that are not finite.
    """
    total = channel_sum(image)
    return whole_numbers(total, largest(total))


def channel_sum(image: Tensor | NDArray[np.floating]) -> NDArray[np.float32]:
    """The sum of the channels of (C, H, W)."""
    pixels = _array(image)
    with np.errstate(invalid="ignore", over="ignore"):  # infinities are told by `largest`
        total = pixels[0].astype(np.float32)
        for channel in pixels[1:]:  # one order of summation for every pixel, whatever the memory's layout
            total += channel.astype(np.float32)
    return total


def largest(total: NDArray[np.float32]) -> np.float32:
    """The largest size of a value.

    Raises:
        UsageError: there are values that are not finite.
    """
    size = max(total.max(), -total.min())
    if not np.isfinite(size):
        raise UsageError("The picture holds values that are not finite numbers; replace them.")
    return size


def whole_numbers(total: NDArray[np.float32], largest: np.float32) -> NDArray[np.float32]:
    """Values in whole numbers, in place; the largest one of the picture becomes 2^11 to 2^12."""
    _, exponent = np.frexp(largest)
    total *= np.float32(2.0 ** min(12 - int(exponent), 120))  # beyond, the factor itself would be infinite
    return np.rint(total, out=total)


def _smooth(grey: NDArray[np.float32], border: str) -> NDArray[np.float32]:
    """Binomial smoothing, times 2^12; with a frame of `REACH` more pixels all around."""
    kind = cv2.BORDER_WRAP if border == "wrap" else cv2.BORDER_REFLECT_101
    wide = cv2.copyMakeBorder(grey, REACH, REACH, REACH, REACH, kind)
    return cv2.sepFilter2D(wide, cv2.CV_32F, _BINOMIAL, _BINOMIAL)


def _extrema(smooth: NDArray[np.float32], border: str) -> NDArray[np.int64]:
    """Flat positions in the picture of the local extrema of the smoothed one."""
    extreme = (smooth >= cv2.dilate(smooth, _SQUARE)) ^ (smooth <= cv2.erode(smooth, _SQUARE))  # flat places are both
    extreme = extreme[REACH:-REACH, REACH:-REACH]
    if border == "inside":
        inner = np.zeros_like(extreme)
        inner[REACH:-REACH, REACH:-REACH] = extreme[REACH:-REACH, REACH:-REACH]
        extreme = inner
    return np.flatnonzero(extreme)


def _curvatures(smooth: NDArray[np.float32], places: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Of the smoothed picture at flat positions: its derivatives along y, x, yy, xx and yx."""
    wide = smooth.shape[1]
    width = wide - 2 * REACH
    flat = smooth.ravel()
    at = (places // width + REACH) * wide + places % width + REACH
    n, s, w, e, c, nw, ne, sw, se = (
        flat.take(at + step).astype(np.float64)
        for step in (-wide, wide, -1, 1, 0, -wide - 1, -wide + 1, wide - 1, wide + 1)
    )
    return [(s - n) / 2, (e - w) / 2, n + s - 2 * c, w + e - 2 * c, (nw + se - ne - sw) / 4]


def _smaller_curvature(smooth: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """The smaller of the two principal curvatures where they have one sign; negative on saddles, zero on edges."""
    _, _, yy, xx, yx = _curvatures(smooth, places)
    return np.abs(yy + xx) - np.sqrt((yy - xx) ** 2 + 4 * yx**2)


def fraction_at(smooth: NDArray[np.float32], y: int, x: int) -> tuple[float, float]:
    """From the pixel to the extremum of the parabola through its neighbourhood: one Newton step."""
    width = smooth.shape[1] - 2 * REACH
    dy, dx, yy, xx, yx = (value.item() for value in _curvatures(smooth, np.array([y * width + x])))
    determinant = yy * xx - yx * yx
    step = ((yx * dx - xx * dy) / determinant, (yx * dy - yy * dx) / determinant)
    return tuple(min(0.5, max(-0.5, value)) for value in step)


def runner_up(
    places: NDArray[np.int64], strength: NDArray[np.float64], at: tuple[int, int], shape: tuple[int, int], border: str
) -> float:
    """The largest strength out of the landmark's own surroundings, at least 0."""
    away = np.zeros(len(places), bool)
    for position, own, size in zip(divmod(places, shape[1]), at, shape, strict=True):
        distance = np.abs(position - own)
        away |= (np.minimum(distance, size - distance) if border == "wrap" else distance) > REACH
    return strength[away].max(initial=0.0)


def _among_equals(pixels: NDArray[np.floating], equals: NDArray[np.int64]) -> int:
    """Of equally strong places on the torus the one whose picture, read from there, comes last in order.

    The order grows by doubling: pixels, then pairs, fours, ... along rows, then along columns. Two places that stay
    equal to the end see the same picture, so either serves.
    """
    _, rank = np.unique(pixels.reshape(len(pixels), -1), axis=1, return_inverse=True)
    rank = rank.reshape(pixels.shape[1:])
    for axis, size in ((1, rank.shape[1]), (0, rank.shape[0])):
        step = 1
        while step < size:
            pair = rank.astype(np.int64) * rank.size + np.roll(rank, -step, axis)
            rank = np.unique(pair, return_inverse=True)[1].reshape(rank.shape)
            step *= 2
    return int(equals[rank.ravel()[equals].argmax()])

