"""Arithmetic on pictures in memory: depths, channels, blur, tints and words."""

from collections.abc import Sequence
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from unetlift.errors import PictureError
from unetlift.images.page import Picture

REFLECT = cv2.BORDER_REFLECT_101
"""The border that mirrors a picture about its outermost pixels."""

cv2.setNumThreads(0)  # OpenCV's threads fight with PyTorch's, most of all in data workers
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong with a file is said in one sentence, by us


def to_float(pixels: Picture) -> NDArray[np.float32]:
    """Scales 8 and 16 bit to 0..1; floats stay as they are."""
    if pixels.dtype == np.float32:
        return pixels
    return pixels.astype(np.float32) / np.iinfo(pixels.dtype).max


def from_float(pixels: NDArray[np.float32], dtype: np.dtype | type) -> Picture:
    """Floats of 0..1 to a depth: what lies outside is cut off for 8 and 16 bit, floats stay as they are."""
    if np.dtype(dtype) == np.float32:
        return pixels
    high = np.iinfo(dtype).max
    return np.rint(np.clip(pixels, 0, 1) * high).astype(dtype)


def blur(pixels: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A Gaussian of so many pixels over (H, W, C) floats, mirrored at the borders."""
    return cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=REFLECT).reshape(pixels.shape)


def jpeg(pixels: NDArray[np.float32], quality: int) -> NDArray[np.float32]:
    """What JPEG of a quality (1 to 100) leaves of (H, W, 1 or 3) floats of 0..1, which are 8 bit in between."""
    stored = BytesIO()
    array = from_float(pixels, np.uint8)
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(stored, format="JPEG", quality=quality)
    return to_float(np.asarray(Image.open(stored)).reshape(pixels.shape))


def with_channels(pixels: np.ndarray, channels: int, name: object) -> np.ndarray:
    """(H, W, C) with the channels a network wants; grey is repeated for RGB, anything else is an error."""
    have = pixels.shape[2]
    if have == channels:
        return pixels
    if have == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=2)
    raise PictureError(f"{name} has {have} channels; the network wants {channels}.")


def overlay(pixels: Picture, labels: NDArray[np.integer], colours: Sequence[Sequence[int]], opacity: float = 0.5) -> NDArray[np.uint8]:
    """The picture with every class but the first tinted in its colour, as (H, W, 3) 8 bit."""
    base = np.clip(to_float(pixels), 0, 1) * 255
    base = np.repeat(base[..., :1], 3, axis=2) if base.shape[2] != 3 else base
    tint = np.asarray(colours, dtype=np.float32)[labels]
    mixed = np.where((labels > 0)[..., None], (1 - opacity) * base + opacity * tint, base)
    return np.rint(mixed).astype(np.uint8)


def caption(text: str, width: int, left: int = 2, height: int = 14) -> NDArray[np.uint8]:
    """Black words on a white strip (height, width, 3); what is too long is cut off."""
    strip = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(strip).text((left, 0), text, fill="black")
    return np.asarray(strip)
