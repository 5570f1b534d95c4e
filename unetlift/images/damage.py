"""Whatever the libraries raise over a file becomes one sentence about that file."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
from PIL import Image

from unetlift.errors import PictureError

MAX_PIXELS = 2**28
"""Beyond it a file is refused before it is decoded: a small PNG can unfold to gigabytes."""

DAMAGED = (OSError, ValueError, SyntaxError, RuntimeError, LookupError, TypeError, ArithmeticError, struct.error, zlib.error, cv2.error)
DAMAGED += (Image.DecompressionBombError, AttributeError, AssertionError, EOFError)
"""What the libraries raise over files that are cut off or have wrong bytes."""


@contextmanager
def reading(name: object) -> Iterator[None]:
    """Turns what a library raises while it reads `name` (a path, or a page of it) into a PictureError that names it."""
    try:
        yield
    except DAMAGED as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"{name} cannot be read as a picture ({why[:120]}); replace or remove it.") from error


@contextmanager
def opened_file(path: Path) -> Iterator[BinaryIO]:
    """A regular file's bytes.

    Raises:
        PictureError: it is none (a pipe would be waited for without end), or cannot be opened.
    """
    with reading(path):
        if not path.is_file():
            path.stat()  # says why, where there is nothing
            raise ValueError("it is no regular file")
        file = path.open("rb")
    with file:
        yield file


def read_bytes(path: Path) -> bytes:
    """A file as it is.

    Raises:
        PictureError: it cannot be read.
    """
    with opened_file(path) as file, reading(path):
        return file.read()


def capped(name: object, height: int, width: int, max_pixels: int) -> tuple[int, int]:
    """Height and width, if these are not too many pixels to decode at once.

    Raises:
        PictureError: they are.
    """
    if height * width > max_pixels:
        raise PictureError(f"{name} has {width} x {height} pixels; at most {max_pixels} are read.")
    return height, width
