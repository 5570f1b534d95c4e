"""Draws what a network answered beside what it was given, what it should have answered, and where the two differ."""

from math import ceil

import matplotlib
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unetlift import images
from unetlift.info import ModelInfo
from unetlift.tasks import target_values

Pixels = NDArray[np.uint8]

NAMES = ("input", "prediction", "target", "error")
"""What the four pictures of a case show."""

MOST, LEAST, GAP = 320, 128, 4
"""Pixels: larger sides are shrunk below the first, smaller pictures enlarged beyond the second, both by whole factors."""

WRONG, IGNORED = (230, 40, 30), (128, 128, 128)
DARK = 0.35
"""Of the input's brightness, below the pixels that are wrong."""

ERROR_GAIN = 4
"""An absolute error of a quarter is the brightest."""


def draw(info: ModelInfo, x: Tensor, values: Tensor, target: Tensor) -> dict[str, Pixels]:
    """The pictures of a case.

    Args:
        info: what the network's inputs and outputs mean.
        x: the input (C, H, W), normalised.
        values: the answer (K, H, W): probabilities, or a picture of 0..1.
        target: labels (H, W), or a picture (D, H, W), normalised.

    Returns:
        (H, W, 3) each, by `NAMES`. Of labels the input is tinted, with what is ignored in grey, and the error is red on the
        darkened input; of pictures it is the mean absolute error of the channels, times `ERROR_GAIN`, from black to white
        through red.
    """
    mean, std = (np.asarray(of, np.float32) for of in (info.mean, info.std))
    shown = rgb(x.float().cpu().permute(1, 2, 0).numpy() * std + mean)
    drawn = _labelled if info.answers == "labels" else _pictured
    pictures = [shown, *drawn(info, shown, values.float().cpu(), target.cpu())]
    return {name: fit(picture) for name, picture in zip(NAMES, pictures, strict=True)}


def _labelled(info: ModelInfo, shown: Pixels, values: Tensor, target: Tensor) -> list[Pixels]:
    answered, labels = values.argmax(0).numpy(), target.numpy()
    ignored = np.zeros_like(labels, bool) if info.ignore_index is None else labels == info.ignore_index
    labels = np.where(ignored, 0, labels)
    tinted = images.overlay(shown, labels, info.colours)
    error = np.rint(DARK * shown).astype(np.uint8)
    error[answered != labels] = WRONG
    for picture in (tinted, error):
        picture[ignored] = IGNORED
    return [images.overlay(shown, answered, info.colours), tinted, error]


def _pictured(info: ModelInfo, shown: Pixels, values: Tensor, target: Tensor) -> list[Pixels]:
    answered, wanted = (of.permute(1, 2, 0).numpy() for of in (values, target_values(target.float())))
    error = ERROR_GAIN * np.abs(np.clip(answered, 0, 1) - wanted).mean(2)
    heat = matplotlib.colormaps["gist_heat"](np.clip(error, 0, 1), bytes=True)[..., :3]
    return [rgb(answered), rgb(wanted), np.ascontiguousarray(heat)]


def rgb(pixels: NDArray[np.float32]) -> Pixels:
    """(H, W, C) of 0..1 to (H, W, 3) of 8 bit: of one or two channels the first in grey, of more the first three."""
    seen = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
    return images.from_float(seen, np.uint8)


def fit(picture: Pixels) -> Pixels:
    """A picture of a size to look at: means of squares where it is large, each pixel a square where it is small."""
    longest = max(picture.shape[:2])
    if longest <= MOST:
        times = ceil(LEAST / longest)
        return picture.repeat(times, axis=0).repeat(times, axis=1)
    side = ceil(longest / MOST)
    whole = np.pad(picture, (*((0, -size % side) for size in picture.shape[:2]), (0, 0)), mode="edge")
    height, width = (size // side for size in whole.shape[:2])
    return np.rint(whole.reshape(height, side, width, side, 3).mean((1, 3))).astype(np.uint8)


def beside(pictures: dict[str, Pixels]) -> Pixels:
    """The pictures of a case in a row, (H, W, 3), each below its name."""
    named = [np.concatenate([images.caption(name, picture.shape[1]), picture]) for name, picture in pictures.items()]
    return np.concatenate([np.pad(tile, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for tile in named], axis=1)


def below(rows: list[Pixels]) -> Pixels:
    """Rows of cases as one picture, white beside the shorter ones."""
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows])
