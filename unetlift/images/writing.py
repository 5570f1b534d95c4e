"""Writes pictures: PNG where that holds them, else TIFF, band by band in constant memory."""

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from unetlift.errors import PictureError
from unetlift.images.geo import NODATA
from unetlift.images.page import Carried, Picture

TILE = 256
"""Side of a TIFF's tiles in pixels; smaller pictures have one that is as small as the format allows, in steps of 16."""

CLASSIC = 2**32 - 2**25
"""Bytes of pixels beyond which a TIFF needs offsets of 64 bit."""

ASCII = 2
"""TIFF's data type of words."""


def write_picture(target: Path | BytesIO, pixels: NDArray[np.uint8]) -> None:
    """Writes (H, W, 3) or (H, W) 8-bit pixels as PNG, to a file or into memory."""
    Image.fromarray(pixels).save(target, format="PNG")


def fits_png(pixels: Picture) -> bool:
    """Whether PNG holds such pixels: 8 bit, or 16 bit grey."""
    return pixels.shape[2] in (1, 3) and (pixels.dtype == np.uint8 or (pixels.dtype == np.uint16 and pixels.shape[2] == 1))


def write_any(target: Path, pixels: Picture) -> None:
    """Writes (H, W, C) pixels of any depth and number of channels, as PNG or, where that does not hold them, as TIFF."""
    if fits_png(pixels):
        write_picture(target, pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    else:
        write_tiff(target, [pixels], *pixels.shape, pixels.dtype)


def write_tiff(
    path: Path,
    bands: Iterable[np.ndarray],
    height: int,
    width: int,
    channels: int,
    dtype: np.dtype | type,
    carried: Carried | None = None,
    nodata: float | None = None,
    colours: Sequence[Sequence[int]] | None = None,
) -> None:
    """Writes a tiled, compressed TIFF from the top down, with no more memory than a band and a row of tiles take.

    The same pixels give the same bytes. On failure no file is left.

    Args:
        path: of the file; it may have any name.
        bands: (rows, width, channels), or (rows, width) of one channel; of any heights, together as high as the picture.
        height: in pixels.
        width: in pixels.
        channels: of red, green and blue, if they are three of whole numbers.
        dtype: uint8, uint16, float16 or float32.
        carried: the georeference and resolution of the picture that this one was made of. Its `nodata` is not written, since it
            speaks of the other's values.
        nodata: the value of pixels that hold nothing, as GDAL marks it.
        colours: of a one-channel uint8 picture's values: red, green and blue from 0 to 255.

    Raises:
        PictureError: the bands are not what they were said to be.
    """
    dtype, carried = np.dtype(dtype), carried or Carried()
    tile = (min(TILE, -(-height // 16) * 16), min(TILE, -(-width // 16) * 16))
    how: dict[str, object] = {"photometric": "rgb" if channels == 3 and dtype.kind == "u" else "minisblack", "predictor": True}
    if channels > 1:
        how["planarconfig"] = "contig"
    if colours is not None:
        how |= {"photometric": "palette", "colormap": _colormap(colours), "predictor": False}  # neighbouring labels have no difference
    if carried.resolution is not None:
        how |= {"resolution": carried.resolution[:2], "resolutionunit": carried.resolution[2]}
    tags = list(carried.tags)
    if nodata is not None:
        words = f"{nodata:.17g}\0".encode()
        tags.append((NODATA, ASCII, len(words), words, True))
    shape = (height, width) if channels == 1 else (height, width, channels)
    tiles = _tiles(_rows(bands, (height, width, channels), dtype, tile[0], path), tile)
    try:
        with tifffile.TiffWriter(path, bigtiff=height * width * channels * dtype.itemsize > CLASSIC) as file:
            file.write(
                tiles, shape=shape, dtype=dtype, tile=tile, compression="zlib", maxworkers=1, metadata=None, software=False,
                extratags=tags, **how,
            )  # fmt: skip
            next(tiles, None)  # looks whether there are more rows than were asked for
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _colormap(colours: Sequence[Sequence[int]]) -> NDArray[np.uint16]:
    """(3, 256) of 16 bit; values without a colour are black."""
    table = np.zeros((3, 256), np.uint16)
    table[:, : len(colours)] = np.asarray(colours, np.uint16).T * 257
    return table


def _rows(bands: Iterable[np.ndarray], shape: tuple[int, int, int], dtype: np.dtype, rows: int, path: Path) -> Iterator[np.ndarray]:
    """The bands cut anew, each as high as a tile, the last one filled up with zeros."""
    height, width, channels = shape
    block, filled, seen = np.zeros((rows, width, channels), dtype), 0, 0
    for band in bands:
        band = band[..., None] if band.ndim == 2 else band
        seen += len(band)
        if band.dtype != dtype or band.shape[1:] != shape[1:] or seen > height:
            got = f"rows up to {seen} of {band.shape[1:]} in {band.dtype}"
            raise PictureError(f"{path} was given {got}; it takes {height} rows of {shape[1:]} in {dtype}.")
        while len(band):
            part = band[: rows - filled]
            block[filled : filled + len(part)] = part
            band, filled = band[len(part) :], filled + len(part)
            if filled == rows:
                yield block
                filled = 0
    if seen != height:
        raise PictureError(f"{path} was given {seen} of {height} rows.")
    if filled:
        block[filled:] = 0
        yield block


def _tiles(blocks: Iterable[np.ndarray], tile: tuple[int, int]) -> Iterator[np.ndarray]:
    """The blocks' tiles from left to right, all of one size."""
    for block in blocks:
        for left in range(0, block.shape[1], tile[1]):
            whole = np.zeros((*tile, block.shape[2]), block.dtype)
            part = block[:, left : left + tile[1]]
            whole[:, : part.shape[1]] = part
            yield whole
