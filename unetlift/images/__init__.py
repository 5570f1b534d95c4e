"""Reads and writes pictures and masks; the only room with OpenCV, Pillow and tifffile."""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from unetlift.errors import PictureError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MAX_PIXELS = 2**28
"""Beyond it a file is refused before it is decoded: a small PNG can unfold to gigabytes."""

DAMAGED = (OSError, ValueError, SyntaxError, RuntimeError, LookupError, TypeError, ArithmeticError, struct.error, zlib.error, cv2.error)
DAMAGED += (Image.DecompressionBombError,)
"""What the libraries raise over files that are cut off or have wrong bytes."""

REFLECT = cv2.BORDER_REFLECT_101
"""The border that mirrors a picture about its outermost pixels."""

cv2.setNumThreads(0)  # OpenCV's threads fight with PyTorch's, most of all in data workers

Picture = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
"""(H, W, C) in the file's own depth."""


def picture_files(folder: Path) -> list[Path]:
    """The pictures below `folder`, sorted by path; hidden files are passed over."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(path for path in found if path.is_file())


def size(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width as displayed, of the first page, before any pixel is decoded.

    Raises:
        PictureError: the file is no picture, or has more than `max_pixels`.
    """
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            with tifffile.TiffFile(path) as tiff:
                return _capped(path, tiff.pages[0].imagelength, tiff.pages[0].imagewidth, max_pixels)
        with Image.open(path) as header:
            height, width = _capped(path, header.height, header.width, max_pixels)
            lies = header.getexif().get(0x0112, 1) >= 5  # reads all of a PNG, hence after the cap
        return (width, height) if lies else (height, width)
    except DAMAGED as error:
        raise _unreadable(path, error) from error


def _capped(path: Path, height: int, width: int, max_pixels: int) -> tuple[int, int]:
    if height * width > max_pixels:
        raise PictureError(f"{path} has {width} x {height} pixels; at most {max_pixels} are read.")
    return height, width


def read_picture(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Reads a picture upright, in its own depth, as (H, W, 1) or (H, W, 3) RGB; of many pages the first; no transparency.

    Raises:
        PictureError: the file is no picture, has more than `max_pixels`, or a depth other than 8 or 16 bit or float.
    """
    size(path, max_pixels)
    return decode_picture(read_bytes(path), path)


def decode_picture(data: bytes, path: Path) -> Picture:
    """The same from a file's bytes; `path` tells the format of a TIFF and names the file in errors."""
    try:
        pixels = _decode_tiff(data) if path.suffix.lower() in (".tif", ".tiff") else _without_alpha(_decode(data))
    except DAMAGED as error:
        raise _unreadable(path, error) from error
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.dtype in (np.float16, np.float64):
        pixels = pixels.astype(np.float32)
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise PictureError(f"{path} holds {pixels.dtype} values; save it as 8 or 16 bit, or as float.")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 128:
        raise PictureError(f"{path} has the shape {pixels.shape}; a picture has height, width and up to 128 channels.")
    return np.ascontiguousarray(pixels)


def read_bytes(path: Path) -> bytes:
    """A file as it is.

    Raises:
        PictureError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _decode_tiff(data: bytes) -> np.ndarray:
    """The first page with its bands last; of four bands the fourth is alpha only where the file says so."""
    with tifffile.TiffFile(BytesIO(data)) as tiff:
        page = tiff.pages[0]
        pixels = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        alpha = any(kind in (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA) for kind in page.extrasamples)
    return pixels[..., :-1] if alpha and pixels.ndim == 3 else pixels


def _without_alpha(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., : {2: 1, 4: 3}.get(pixels.shape[2], pixels.shape[2])] if pixels.ndim == 3 else pixels


def _decode(data: bytes) -> np.ndarray:
    """OpenCV keeps 16 bit but knows neither EXIF (here) nor RGB; Pillow tells the orientation."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("its data is damaged")
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]
    with Image.open(BytesIO(data)) as header:
        orientation = header.getexif().get(0x0112, 1)
    upright = {2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1], 5: lambda p: p.swapaxes(0, 1)}
    upright |= {6: lambda p: np.rot90(p, 3), 7: lambda p: p[::-1, ::-1].swapaxes(0, 1), 8: lambda p: np.rot90(p)}
    return upright[orientation](pixels) if orientation in upright else pixels


def read_mask(path: Path) -> NDArray[np.uint16]:
    """Reads a mask's label values as (H, W): palette indices stay indices, 16 bit stays 16 bit.

    Raises:
        PictureError: the file is no picture, or has colours instead of labels.
    """
    size(path)
    return decode_mask(read_bytes(path), path)


def decode_mask(data: bytes, path: Path) -> NDArray[np.uint16]:
    """The same from a file's bytes."""
    try:
        with Image.open(BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image)
            labels = np.asarray(upright)
    except DAMAGED as error:
        raise _unreadable(path, error) from error
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
        bands = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        how = {"planarconfig": "contig"} if bands.ndim == 3 else {}  # else a picture of many bands is taken for many pictures
        tifffile.imwrite(target, bands, photometric="rgb" if pixels.shape[2] == 3 else "minisblack", **how)


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


def _unreadable(path: Path, error: Exception) -> PictureError:
    why = " ".join(str(error).split()) or type(error).__name__
    return PictureError(f"{path} cannot be read as a picture ({why[:120]}); replace or remove it.")
