"""Makes of a clean picture the one that a network is to restore; each sample by its own seed."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from unetlift import images
from unetlift.errors import UsageError
from unetlift.info import DegradeConfig, Span

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601)."""


def check(config: DegradeConfig, channels: int) -> None:
    """Raises UsageError where pictures of so many channels cannot be degraded so, or nothing is done to them."""
    if not config.names:
        raise UsageError("Nothing is done to the pictures that are to be restored; give --noise, --blur, --scale, --jpeg or --grey.")
    if config.grey and channels != 3:
        raise UsageError(f"grey takes the colour from pictures of 3 channels, not {channels}.")
    if config.jpeg and channels not in (1, 3):
        raise UsageError(f"jpeg stores pictures of 1 or 3 channels, not {channels}.")


def degrade(picture: NDArray[np.float32], config: DegradeConfig, seed: int) -> NDArray[np.float32]:
    """Applies `config` to (H, W, C) floats of 0..1, in the order of its fields.

    Args:
        picture: the clean one.
        config: what is done; of a range each seed has its own value.
        seed: of all that is random.

    Returns:
        The same shape. Noise is not cut off at 0 and 1, as is the custom with denoising.
    """
    rng = np.random.default_rng(seed)
    blur, noise, jpeg = (_pick(span, rng) for span in (config.blur, config.noise, config.jpeg))
    if config.grey:
        picture = np.repeat(picture @ np.asarray(LUMA, np.float32)[:, None], picture.shape[2], axis=2)
    if blur:
        picture = images.blur(picture, blur)
    if config.scale > 1:
        picture = down_and_up(picture, config.scale)
    if noise:
        picture = picture + rng.standard_normal(picture.shape, np.float32) * np.float32(noise / 255)
    if jpeg:
        picture = images.jpeg(picture, max(1, round(jpeg)))
    return picture


def _pick(span: Span, rng: np.random.Generator) -> float:
    return rng.uniform(*span) if isinstance(span, tuple) else span


def down_and_up(picture: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    """Bicubic with antialiasing to a `scale`-th of the size, rounded up, and back again."""
    height, width = picture.shape[:2]
    x = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None]
    small = interpolate(x, (-(-height // scale), -(-width // scale)), mode="bicubic", antialias=True)
    return interpolate(small, (height, width), mode="bicubic", antialias=True)[0].numpy().transpose(1, 2, 0)
