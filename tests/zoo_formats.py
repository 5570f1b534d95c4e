"""Bytes of picture files as no program would write them."""

import struct
import zlib
from io import BytesIO

import numpy as np
import tifffile
from PIL import Image

_RNG = np.random.default_rng(7)
PIXELS = (np.add.outer(np.arange(24) * 3, np.arange(36) * 4)[..., None] + _RNG.integers(0, 40, (24, 36, 3))).astype(np.uint8)
"""Every picture of the zoo, where it can be: smooth with some noise."""


def picture(mode: str = "RGB", pixels: np.ndarray = PIXELS) -> Image.Image:
    """The picture in one of Pillow's modes."""
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, kind: str, **how: object) -> bytes:
    """A file of Pillow's."""
    file = BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def tif(pixels: np.ndarray = PIXELS, bigtiff: bool = False, byteorder: str = "<", **how: object) -> bytes:
    """A file of tifffile's."""
    file = BytesIO()
    with tifffile.TiffWriter(file, bigtiff=bigtiff, byteorder=byteorder) as writer:
        writer.write(pixels, **how)
    return file.getvalue()


def pages(*pictures: tuple[np.ndarray, dict]) -> bytes:
    """A TIFF of several."""
    file = BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for pixels, how in pictures:
            writer.write(pixels, **how)
    return file.getvalue()


def flipped(data: bytes, position: int, mask: int = 0xFF) -> bytes:
    """The bits of a mask turned over in one byte."""
    return data[:position] + bytes([data[position] ^ mask]) + data[position:][1:]


def cut(data: bytes, share: float = 0.6) -> bytes:
    """The beginning of a file."""
    return data[: int(len(data) * share)]


def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, *before: bytes, depth: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    """A PNG of compressed rows, after any other chunks."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def rows(pixels: np.ndarray) -> bytes:
    """A PNG's rows of (H, W, 3), none of them filtered."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def interlaced(pixels: np.ndarray = PIXELS) -> bytes:
    """A PNG in the seven passes of Adam7."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    data = b"".join(rows(np.ascontiguousarray(pixels[top::down, left::across])) for top, left, down, across in passes)
    return png(pixels.shape[1], pixels.shape[0], zlib.compress(data), interlaced=1)


def zeros(count: int) -> bytes:
    """So many zeros as zlib would compress them, a thousandth of them long and made without compressing them all."""
    piece = 2**20
    many = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = many.compress(bytes(piece)) + many.flush(zlib.Z_FULL_FLUSH)  # refers to nothing before it
    last = zlib.compressobj(9, zlib.DEFLATED, -15)
    rest = last.compress(bytes(count % piece)) + last.flush()
    return b"\x78\xda" + block * (count // piece) + rest + struct.pack(">HH", count % 65521, 1)


LONG, SHORT = 4, 3
"""Types of numbers in a TIFF."""

TINY = {256: (LONG, 1, 4), 257: (LONG, 1, 4), 258: (SHORT, 1, 8), 259: (SHORT, 1, 1), 262: (SHORT, 1, 1), 273: (LONG, 1, 8)}
TINY |= {277: (SHORT, 1, 1), 278: (LONG, 1, 4), 279: (LONG, 1, 16)}
"""The tags of a grey 4 x 4 picture that lies at byte 8: type, count and value by code."""


def raw_tif(changed: dict[int, tuple[int, int, int]], following: int = 0, first: int | None = None, entries: int | None = None) -> bytes:
    """A TIFF of the TINY picture with some tags as they should not be.

    Args:
        changed: tags instead of, or beside, those of TINY.
        following: where the next picture is said to be described.
        first: where the first one is said to be, if not where it is.
        entries: how many tags there are said to be, if not as many as there are.
    """
    tags = TINY | changed
    data = bytes(range(0, 256, 16))
    said = struct.pack("<H", len(tags) if entries is None else entries)
    described = said + b"".join(struct.pack("<HHII", code, *tag) for code, tag in sorted(tags.items()))
    return struct.pack("<2sHI", b"II", 42, 8 + len(data) if first is None else first) + data + described + struct.pack("<I", following)


def bmp(width: int, height: int, data: bytes = b"") -> bytes:
    """A BMP of 24 bit whose header says what it likes."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(data), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54) + header + data


def gif(width: int, height: int) -> bytes:
    """A GIF of one black pixel on a canvas of any size."""
    whole = encoded(picture("P", np.zeros((1, 1, 3), np.uint8)), "GIF")
    return whole[:6] + struct.pack("<HH", width, height) + whole[10:]


def webp_canvas(width: int, height: int) -> bytes:
    """A WebP that says to be drawn on a canvas of any size, and then holds a small picture."""
    small = encoded(picture(), "WEBP")[12:]
    extended = struct.pack("<4sI", b"VP8X", 10) + bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 4 + len(extended) + len(small)) + b"WEBP" + extended + small


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    """A JPEG with one more segment at its beginning."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data + jpeg[2:]


def exif(orientation: int) -> Image.Exif:
    """What a camera says of how it was held."""
    said = Image.Exif()
    said[0x0112] = orientation
    return said


def imagej(pixels: np.ndarray) -> bytes:
    """A stack (T, C, Y, X) as ImageJ has it."""
    file = BytesIO()
    tifffile.imwrite(file, pixels, imagej=True, metadata={"axes": "TCYX"})
    return file.getvalue()


GREY = PIXELS[..., 0]
PNG, JPEG, WEBP, GIF = (encoded(picture(), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF"))
