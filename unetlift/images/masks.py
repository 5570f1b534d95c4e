"""Masks: one label a pixel, as palette indices or grey values."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from unetlift.errors import PictureError
from unetlift.images.damage import read_bytes, reading
from unetlift.images.reading import size


def read_mask(path: Path) -> NDArray[np.uint16]:
    """Reads a mask's label values as (H, W): palette indices stay indices, 16 bit stays 16 bit.

    Raises:
        PictureError: the file is no picture, or has colours instead of labels.
    """
    size(path)
    return decode_mask(read_bytes(path), path)


def decode_mask(data: bytes, path: Path) -> NDArray[np.uint16]:
    """The same from a file's bytes."""
    with reading(path), Image.open(BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
        labels = np.asarray(upright)
    if labels.ndim != 2:
        raise PictureError(f"{path} has {labels.shape[2]} channels; a mask holds one label a pixel (grey or palette PNG).")
    if labels.min() < 0 or labels.max() > 65535 or labels.dtype.kind == "f":
        raise PictureError(f"{path} holds {labels.dtype} values; a mask's labels are whole numbers from 0 to 65535.")
    return labels.astype(np.uint16)


def write_mask(path: Path, labels: NDArray[np.integer], colours: Sequence[Sequence[int]]) -> None:
    """Writes (H, W) labels as a palette PNG: programs read the indices, people see the colours."""
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette([value for colour in colours for value in colour])
    image.save(path, format="PNG")
