"""From a TIFF page's samples as they are stored to a picture: grey or RGB, without transparency."""

import cv2
import numpy as np
import tifffile
from tifffile import EXTRASAMPLE, PHOTOMETRIC

from unetlift.images.page import Picture, as_picture

OTHERS = (PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB, PHOTOMETRIC.ITULAB, PHOTOMETRIC.LOGL, PHOTOMETRIC.LOGLUV)
"""Colour spaces that are read as no picture."""

JPEG = (6, 7, 33007, 34892)
"""Compressions whose decoder makes RGB of YCbCr itself."""


def to_picture(samples: np.ndarray, page: tifffile.TiffPage, name: object) -> Picture:
    """Samples (H, W, S) of a page as (H, W, C).

    Raises:
        PictureError: nothing reads such values or so many channels.
        ValueError: nor such colours.
    """
    if transparent(page):
        samples = samples[..., _opaque(page)]
    if page.photometric in OTHERS:
        raise ValueError(f"its colours are {page.photometric.name}; save it as grey or RGB")
    if page.photometric == PHOTOMETRIC.PALETTE:
        samples = _palette(page)[samples[..., 0]]
    elif samples.dtype.kind in "bu":
        samples = _spread(samples, page)
    if page.photometric == PHOTOMETRIC.SEPARATED and samples.shape[2] == 4:
        samples = _from_cmyk(as_picture(samples, name))
    if page.photometric == PHOTOMETRIC.YCBCR and page.compression not in JPEG:
        samples = cv2.cvtColor(np.ascontiguousarray(samples[..., [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)
    return as_picture(samples, name)


def transparent(page: tifffile.TiffPage) -> bool:
    """Whether a page has samples that say how opaque a pixel is."""
    return len(_opaque(page)) < page.samplesperpixel


def _opaque(page: tifffile.TiffPage) -> list[int]:
    """The samples that are no alpha, which they are only where the file says so; those beside the colours come last."""
    colours = page.samplesperpixel - len(page.extrasamples)
    alpha = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
    return [number for number in range(page.samplesperpixel) if number < colours or page.extrasamples[number - colours] not in alpha]


def _palette(page: tifffile.TiffPage) -> np.ndarray:
    """(256, 3): colours of 16 bit as 8; some programs write 8 bit in the first place."""
    table = np.asarray(page.colormap).T
    return (table >> 8 if table.max() > 255 else table).astype(np.uint8)


def _spread(samples: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Unsigned samples with 0 for black, and fewer than 8 bits spread over 0..255."""
    bits = page.bitspersample if isinstance(page.bitspersample, int) else 8
    high = 2**bits - 1
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        samples = ~samples if samples.dtype == np.bool_ else high - samples
    return np.rint(samples * (255 / high)).astype(np.uint8) if 1 < bits < 8 else samples


def _from_cmyk(inks: Picture) -> np.ndarray:
    """Without a colour profile: each ink takes its share of what black lets through."""
    high = np.float32(1 if inks.dtype == np.float32 else np.iinfo(inks.dtype).max)
    light = (high - inks[..., :3]) * ((high - inks[..., 3:]) / high)
    return light if inks.dtype == np.float32 else np.rint(light).astype(inks.dtype)
