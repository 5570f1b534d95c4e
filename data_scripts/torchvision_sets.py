"""What the data sets that torchvision downloads share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import DataError, Source
from PIL import Image


def opened(make: Callable[[], object]) -> object:
    """A torchvision data set, its own errors as one sentence.

    Raises:
        DataError: it is not there, or cannot be downloaded.
    """
    try:
        return make()
    except (RuntimeError, OSError, ValueError) as error:
        why = " ".join(str(error).split())[:160]
        raise DataError(f"torchvision's copy cannot be had ({why}); give a root in torchvision's form with --from.") from error


def photograph(path: Path) -> Source:
    """A JPEG in RGB and upright as the file it is; anything else by its pixels, which are what the labels were drawn on."""
    with Image.open(path) as image:
        plain = (image.format, image.mode, image.getexif().get(0x0112, 1)) == ("JPEG", "RGB", 1)
    return path if plain else lambda: np.asarray(Image.open(path).convert("RGB"))
