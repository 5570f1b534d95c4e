"""What a file of pictures is to those who read it: pages in order, each read whole or by windows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from unetlift.errors import PictureError, UsageError

Picture = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
"""(H, W, C) in the file's own depth."""

CHANNELS = 128
"""The most that a picture may have."""


@dataclass(frozen=True)
class Carried:
    """What belongs to a picture's place in the world, to be written again with what is made of it.

    Attributes:
        tags: of a TIFF file, as (code, data type, count, value, True): its georeference, byte for byte.
        nodata: the value of pixels that hold nothing.
        transform: (a, b, c, d, e, f) from pixel corners to coordinates: x = a * column + b * row + c, y = d * column + e * row + f.
        crs: EPSG code, where the file names one.
        resolution: pixels per unit along x and y, each a fraction's two numbers, and the unit as in TIFF (1 none, 2 inch, 3 cm).
    """

    tags: tuple[tuple[int, int, int, object, bool], ...] = ()
    nodata: float | None = None
    transform: tuple[float, float, float, float, float, float] | None = None
    crs: int | None = None
    resolution: tuple[tuple[int, int], tuple[int, int], int] | None = None


class Page(ABC):
    """One picture of a file; its file stays open while it is read, by one thread at a time.

    Attributes:
        height: in pixels, upright.
        width: in pixels, upright.
        channels: 1 to 128; of 3 in colour files red, green and blue.
        dtype: uint8, uint16 or float32.
        windowed: whether reading a window costs the memory of that window alone.
        carried: what is to be written again with its answer.
        time: of a frame, in seconds from the start; None for pages.
    """

    height: int
    width: int
    channels: int
    dtype: np.dtype
    windowed: bool
    carried: Carried = Carried()
    time: Fraction | None = None

    def read(self, top: int = 0, left: int = 0, height: int | None = None, width: int | None = None) -> Picture:
        """A window (height, width, C) of it, by default all of it, upright; it is the caller's own only after a copy.

        Raises:
            PictureError: its data is damaged, or more than the file's `max_pixels` at once.
            UsageError: the window does not lie inside.
        """
        height, width = self.height - top if height is None else height, self.width - left if width is None else width
        if not (0 <= top < top + height <= self.height and 0 <= left < left + width <= self.width):
            asked = f"{width} x {height} pixels from row {top}, column {left}"
            raise UsageError(f"A window of {asked} does not lie inside a picture of {self.width} x {self.height}.")
        return self._window(top, left, height, width)

    @abstractmethod
    def _window(self, top: int, left: int, height: int, width: int) -> Picture:
        """The same for a window that lies inside."""


@final
class ArrayPage(Page):
    """An array (H, W, C), or (H, W), as a page; see `as_picture` for the data types that there may be."""

    windowed = False  # it is all in memory already

    def __init__(self, pixels: np.ndarray, name: object = "The array", time: Fraction | None = None, carried: Carried = Carried()):
        self.pixels = as_picture(pixels, name)
        self.height, self.width, self.channels = self.pixels.shape
        self.dtype, self.time, self.carried = self.pixels.dtype, time, carried

    def _window(self, top: int, left: int, height: int, width: int) -> Picture:
        return self.pixels[top : top + height, left : left + width]


@final
@dataclass(frozen=True)
class Opened:
    """An open file of pictures; iterate over it for its pages.

    Attributes:
        kind: `picture` has exactly one page, `pages` are those of a TIFF or the frames of an animation.
        count: of the pages; None where only reading all of a video would tell.
        notes: a clause for each thing in the file that is left out.
        pages: begins anew with the first page.
        rate: of a video, in frames a second.
    """

    kind: Literal["picture", "pages", "video"]
    count: int | None
    notes: tuple[str, ...]
    pages: Callable[[], Iterator[Page]]
    rate: Fraction | None = None

    def __iter__(self) -> Iterator[Page]:
        """The pages in order.

        Raises:
            PictureError: naming the page that is damaged, when it is reached.
        """
        return self.pages()


def page_name(path: object, number: int, count: int | None, word: str = "page") -> object:
    """How a file's page, counted from 0, is called in errors; of a file with one page, as the file."""
    return path if count == 1 else f"{path}, {word} {number + 1},"


def as_picture(pixels: np.ndarray, name: object) -> Picture:
    """An array as (H, W, C) of uint8, uint16 or float32: bits become 0 and 255, other floats float32.

    Raises:
        PictureError: its values or its shape are not a picture's.
    """
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.dtype in (np.float16, np.float64):
        with np.errstate(over="ignore"):  # beyond float32 there is infinity
            pixels = pixels.astype(np.float32)
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise PictureError(f"{name} holds {pixels.dtype} values; save it as 8 or 16 bit, or as float.")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= CHANNELS or 0 in pixels.shape:
        raise PictureError(f"{name} has the shape {pixels.shape}; a picture has height, width and up to {CHANNELS} channels.")
    return np.ascontiguousarray(pixels)


TURNS = {1: (1, 1, False), 2: (1, -1, False), 3: (-1, -1, False), 4: (-1, 1, False)}
TURNS |= {5: (1, 1, True), 6: (-1, 1, True), 7: (-1, -1, True), 8: (1, -1, True)}
"""For each EXIF orientation the steps along rows and columns that make a picture upright, and whether these then change places."""


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored (H, W, ...) pixels as they are to be seen; an orientation that does not exist is none."""
    rows, columns, swapped = TURNS.get(orientation, TURNS[1])
    turned = pixels[::rows, ::columns]
    return turned.swapaxes(0, 1) if swapped else turned
