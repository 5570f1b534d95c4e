"""Opens files of pictures: what a file is, its first bytes tell, never its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from unetlift.images import raster, tiff, video
from unetlift.images.containers import container
from unetlift.images.damage import MAX_PIXELS, capped, opened_file
from unetlift.images.page import Opened, Picture


@contextmanager
def open_pages(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Opened]:
    """A picture, the pages of a TIFF, the frames of an animation or of a video, one after the other.

    Args:
        path: of the file.
        max_pixels: that are decoded at once. A TIFF's page may have more, if it is stored in smaller pieces and read by windows.

    Raises:
        PictureError: it cannot be read, or one of its pages cannot when that is reached.
        UsageError: it is a video, and the package for these is missing.
    """
    with opened_file(path) as file:
        kind = container(file)
        yield video.opened(file, kind, path, max_pixels) if kind else _opened(file, path, max_pixels)


def size(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width as displayed, of the first page, before any pixel is decoded.

    Raises:
        PictureError: the file is no picture, or has more than `max_pixels`.
    """
    with opened_file(path) as file:
        if _is_tiff(file):
            page = next(iter(tiff.opened(file, path, max_pixels)))
            return capped(path, page.height, page.width, max_pixels)
        return raster.upright_size(raster.header(file, path, max_pixels), file, path)


def read_picture(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Reads a picture upright, in its own depth, as (H, W, C), in colour RGB; of many pages the first; no transparency.

    Raises:
        PictureError: the file is no picture, has more than `max_pixels`, or a depth other than 8 or 16 bit or float.
    """
    with opened_file(path) as file:
        return _first(file, path, max_pixels)


def decode_picture(data: bytes, path: Path) -> Picture:
    """The same from a file's bytes; `path` names the file in errors."""
    return _first(BytesIO(data), path, MAX_PIXELS)


def _first(file: BinaryIO, path: Path, max_pixels: int) -> Picture:
    return next(iter(_opened(file, path, max_pixels))).read()


def _opened(file: BinaryIO, path: Path, max_pixels: int) -> Opened:
    return (tiff if _is_tiff(file) else raster).opened(file, path, max_pixels)


def _is_tiff(file: BinaryIO) -> bool:
    first = file.read(4)
    file.seek(0)
    return first in tiff.MAGIC
