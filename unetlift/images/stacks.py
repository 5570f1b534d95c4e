"""Which planes of a TIFF file belong together: the channels of a stack (ImageJ, OME) are bands of one page."""

import re
from collections.abc import Sequence

import numpy as np
import tifffile

Stack = Sequence[tuple[int, int]]
"""For each band where its page is described, and how many bytes behind that page's data it lies."""

MOST = 2**20
"""Planes in a file; one that says that it has more is damaged."""

IMAGEJ_ORDERS = {"czt": "TZC", "ctz": "ZTC", "zct": "TCZ", "ztc": "CTZ", "tcz": "ZCT", "tzc": "CZT"}
"""The axes of ImageJ's planes, slowest first, by what the file says, fastest first."""

PIXELS = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
ATTRIBUTE = re.compile(r'\b(DimensionOrder|Size[CTZ])="([XYZCT]+|\d+)"')


def bands_of(tiff: tifffile.TiffFile, offsets: Sequence[int]) -> list[Stack]:
    """For each page, in the file's order of time and depth, its bands.

    Args:
        tiff: the open file.
        offsets: where the file's pictures are described.

    Raises:
        ValueError: there is less data than the file says.
    """
    first = tiff.pages.first
    planes: list[tuple[int, int]] = [(offset, 0) for offset in offsets]
    sizes, axes = _imagej(tiff) if tiff.is_imagej else _ome(first.description) if tiff.is_ome else ({}, "")
    count = int(np.prod([sizes[axis] for axis in axes], dtype=object)) if axes else 1
    if tiff.is_imagej and len(offsets) == 1 and count > 1 and first.is_final:  # one description for all
        if count > MOST or first.dataoffsets[0] + count * first.nbytes > tiff.filehandle.size:
            raise ValueError(f"it is cut off: it says that it has {count} planes")
        planes = [(offsets[0], number * first.nbytes) for number in range(count)]
    if not axes or len(planes) != count or sizes["C"] == 1:
        return [[plane] for plane in planes]
    numbers = np.arange(count).reshape([sizes[axis] for axis in axes])
    return [[planes[number] for number in bands] for bands in np.moveaxis(numbers, axes.index("C"), -1).reshape(-1, sizes["C"])]


def _imagej(tiff: tifffile.TiffFile) -> tuple[dict[str, int], str]:
    """Sizes by axis, and the axes with the slowest first; samples of one pixel are no planes."""
    said = tiff.imagej_metadata or {}
    sizes = {axis: max(1, int(said.get(name, 1))) for axis, name in zip("TZC", ("frames", "slices", "channels"), strict=True)}
    if tiff.pages.first.samplesperpixel > 1:
        sizes["C"] = 1
    if sizes["T"] * sizes["Z"] * sizes["C"] == 1:
        sizes["T"] = max(1, int(said.get("images", 1)))
    return sizes, IMAGEJ_ORDERS.get(str(said.get("order", "czt")).lower(), "TZC")


def _ome(description: str) -> tuple[dict[str, int], str]:
    """The same of the one picture of an OME-TIFF; nothing where it has several."""
    found = PIXELS.findall(description)
    said = dict(ATTRIBUTE.findall(found[0])) if len(found) == 1 else {}
    if len(said) != 4 or sorted(said["DimensionOrder"]) != sorted("XYZCT"):
        return {}, ""
    return {axis: int(said[f"Size{axis}"]) for axis in "ZCT"}, said["DimensionOrder"][:1:-1]
