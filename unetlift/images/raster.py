"""PNG, JPEG, WebP, BMP and GIF: single pictures by OpenCV, which keeps 16 bit; animations frame by frame by Pillow."""

import struct
from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from unetlift.images.damage import capped, reading
from unetlift.images.page import TURNS, ArrayPage, Opened, page_name, upright

FORMATS: dict[bytes, type[ImageFile]] = {b"\x89PNG\r\n\x1a\n": PngImageFile, b"\xff\xd8": JpegImageFile, b"BM": BmpImageFile}
FORMATS |= {b"GIF8": GifImageFile, b"RIFF": WebPImageFile}
"""By a file's first bytes; its name says nothing. Unlike `Image.open`, a class neither runs other parsers nor has a limit of its own."""

GREY = ("1", "L", "LA", "I", "I;16", "I;16B")
"""Pillow's modes without colour."""

ORIENTATION = 0x0112
"""The EXIF tag."""

EXIF = (b"eXIf", b"Raw profile", b"com.adobe.xmp")
"""Without any of these words a PNG says nothing about its orientation."""


def header(file: BinaryIO, path: Path, max_pixels: int) -> ImageFile:
    """A picture of which nothing but the header has been read.

    Raises:
        PictureError: it is no picture, or has more than `max_pixels`.
    """
    with reading(path):
        first = file.read(16)
        file.seek(0)
        found = [kind for magic, kind in FORMATS.items() if first.startswith(magic)]
        if not found:
            raise ValueError("it is no PNG, JPEG, WebP, BMP, GIF, TIFF, MP4, MKV or AVI" if first else "it is empty")
        image = found[0](file)
    capped(path, image.height, image.width, max_pixels)
    return image


def upright_size(image: ImageFile, file: BinaryIO, path: Path) -> tuple[int, int]:
    """Height and width as seen; reads the file, hence only after its header was found to be small enough."""
    with reading(path):
        lies = TURNS.get(_orientation(_data(image, file), image), TURNS[1])[2]
    return (image.width, image.height) if lies else (image.height, image.width)


def opened(file: BinaryIO, path: Path, max_pixels: int) -> Opened:
    """A file that `header` takes, with one page or the frames of an animation."""
    image = header(file, path, max_pixels)
    with reading(path):
        count = getattr(image, "n_frames", 1)
        transparent = image.has_transparency_data and (count == 1 or image.convert("RGBA").getextrema()[3][0] < 255)
        notes = ("its transparency is left out",) if transparent else ()  # animations use it for what stays the same, too
        still = count == 1 and not isinstance(image, GifImageFile)

    def pages() -> Iterator[ArrayPage]:
        return _picture(image, file, path) if still else _frames(image, path, count)

    return Opened("picture" if count == 1 else "pages", count, notes, pages)


def _picture(image: ImageFile, file: BinaryIO, path: Path) -> Iterator[ArrayPage]:
    """The one page of a file that is not animated. OpenCV knows neither EXIF (here) nor RGB; Pillow tells the orientation."""
    with reading(path):
        data = _data(image, file)
        if isinstance(image, PngImageFile):
            _check_chunks(data)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise ValueError("its data is damaged")
        if pixels.ndim == 3:  # grey with transparency comes as four channels, too
            pixels = pixels[..., :1] if image.mode in GREY else pixels[..., [2, 1, 0][: pixels.shape[2]]]
        page = ArrayPage(upright(pixels, _orientation(data, image)), path)
    yield page


def _data(image: ImageFile, file: BinaryIO) -> bytes:
    """The file, up to more than 16-bit RGBA and much metadata can need; what follows is no picture."""
    size = file.seek(0, 2)
    file.seek(0)
    return file.read(min(size, 8 * image.height * image.width + 2**28))


def _check_chunks(data: bytes) -> None:
    """Raises ValueError where a part of a PNG is said to be longer than the file: OpenCV asks for that memory before it looks."""
    place, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, place)
        place += 12 + length
        if place > len(data):
            raise ValueError("it is cut off")


def _orientation(data: bytes, image: ImageFile) -> int:
    """From a header of its own, since others have read on in Pillow's file; of a PNG, which it decodes, only where it is worth it."""
    if isinstance(image, PngImageFile) and not any(word in data for word in EXIF):
        return 1
    return type(image)(BytesIO(data)).getexif().get(ORIENTATION, 1)


def _frames(image: ImageFile, path: Path, count: int) -> Iterator[ArrayPage]:
    """An animation's frames as they are seen, each drawn over what the last one left."""
    seconds = Fraction(0)
    for number in range(count):
        with reading(page_name(path, number, count, "frame")):
            image.seek(number)
            grey = image.mode in GREY and not isinstance(image, GifImageFile)  # a GIF's first frame alone may be grey
            pixels = np.asarray(image.convert("LA" if grey else "RGBA"))[..., :-1]
            page = ArrayPage(upright(pixels, image.getexif().get(ORIENTATION, 1)), path, seconds if count > 1 else None)
            seconds += Fraction(image.info.get("duration") or 0) / 1000
        yield page
